"""Losses of trainings. A new loss is one file here, one line below, and one test class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwprofiles.errors import InvalidInput
from hwprofiles.plugins import Registry
from hwprofiles.suggestions import nearest
from search.options import validate_options
from search.training.losses.attention_relations import AttentionRelations
from search.training.losses.base import Loss, LossOptions
from search.training.losses.channel_wise import ChannelWise
from search.training.losses.class_weighted import ClassWeighted
from search.training.losses.logits_kl import LogitsKl
from search.training.losses.logits_l2 import LogitsL2
from search.training.losses.task import TaskLoss

LOSSES: Registry[Loss] = Registry(
    "paretune.losses",
    {
        "task": TaskLoss,
        "class_weighted": ClassWeighted,
        "kl": LogitsKl,
        "l2": LogitsL2,
        "cwd": ChannelWise,
        "minilm": AttentionRelations,
    },
)

__all__ = ["LOSSES", "Loss", "LossOptions", "make_losses"]


def make_losses(sections: Mapping[str, Mapping[str, Any]], place: str = "losses") -> dict[str, Loss]:
    """Makes a recipe's losses by name and checks their options.

    Raises :class:`InvalidInput`, whose message names the wrong field below ``place``.
    """
    losses = {}
    for name, options in sections.items():
        if name not in LOSSES:
            raise InvalidInput(f"{place}: unknown loss {name!r}", nearest(name, list(LOSSES)))
        kind = LOSSES[name]
        losses[name] = kind(validate_options(kind.Options, options, f"{place}.{name}"))
    return losses
