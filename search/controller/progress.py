"""The status of a running search, and the interface of its watchers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a client of a server has no database
    from search.store import TrialRow


@dataclass(frozen=True)
class Status:
    """The status of a search."""

    phase: str
    """``preparing``, ``searching``, ``confirming`` or ``done``."""
    message: str = ""
    trials: int = 0
    """Candidates to try."""
    finished: int = 0
    failed: int = 0
    front: int = 0
    """Members of the first device's front."""
    best_speedup: float | None = None
    seconds_left: float | None = None
    """An estimate; None before there is anything to judge by."""
    states: Mapping[str, int] = field(default_factory=dict)
    """Number of finished candidates by state."""
    at_work: tuple[str, ...] = ()
    """What is going on with the candidates in progress, a line each."""
    left_s: Mapping[str, float] = field(default_factory=dict)
    """Estimated seconds left by phase."""


class Watcher:
    """Receives the status of a search, one call at a time, from its threads. Does nothing unless overridden."""

    def update(self, status: Status) -> None:
        """Receives a new status."""

    def note(self, text: str) -> None:
        """Receives a line that should stay visible."""

    def candidate(self, row: TrialRow) -> None:
        """Receives a candidate that has just been finished."""
