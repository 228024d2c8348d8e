"""Where the trials of a search run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where the trials of one search run, while a ``with`` block of its maker is open."""

    most: Callable[[], int]
    """How many trials may be in work now; at least 1."""
    resources: Mapping[str, float] = field(default_factory=lambda: {"cpu": 1})
    """What a trial takes of the cluster."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of :class:`search.controller.trial_worker.TrialWorker`."""
