"""What a running search tells whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Status:
    """Where a search stands. ``seconds_left`` is an estimate, None before there is anything to judge by, and ``left_s``
    the same by phase (``preparing``, ``searching``, ``confirming``); ``at_work`` is what is going on with the
    candidates under way, a line each."""

    phase: str
    message: str = ""
    trials: int = 0
    finished: int = 0
    failed: int = 0
    front: int = 0
    best_speedup: float | None = None
    seconds_left: float | None = None
    states: Mapping[str, int] = field(default_factory=dict)
    at_work: tuple[str, ...] = ()
    left_s: Mapping[str, float] = field(default_factory=dict)


class Watcher:
    """Told what happens, one call at a time, from the search's threads. This one keeps silent; faces override it."""

    def update(self, status: Status) -> None:
        """The search stands somewhere new."""

    def note(self, text: str) -> None:
        """A line that is worth keeping before the eyes, whatever the search does next."""
