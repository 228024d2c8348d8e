"""Losses of trainings. A new loss is one file here, one line in ``loss_names.py``, and one test class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.options import make_by_name
from search.training.loss_names import LOSSES
from search.training.losses.base import Loss, LossOptions

__all__ = ["LOSSES", "Loss", "LossOptions", "make_losses"]


def make_losses(sections: Mapping[str, Mapping[str, Any]], place: str = "losses") -> dict[str, Loss]:
    """Makes a recipe's losses by name and checks their options.

    Raises :class:`InvalidInput`, whose message names the wrong field below ``place``.
    """
    return make_by_name(LOSSES, sections, place, "loss")
