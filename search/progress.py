"""What a running search tells whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Status:
    """Where a search stands. ``seconds_left`` is an estimate, None before there is anything to judge by."""

    phase: str
    message: str = ""
    trials: int = 0
    finished: int = 0
    failed: int = 0
    front: int = 0
    best_speedup: float | None = None
    seconds_left: float | None = None
    states: Mapping[str, int] = field(default_factory=dict)


class Watcher:
    """Told what happens, from the search's own thread. This one keeps silent; faces override it."""

    def update(self, status: Status) -> None:
        """The search stands somewhere new."""
