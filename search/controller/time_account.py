"""The time that a job has taken, by phase, over all of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from evaluators.devices.deadline import Clock
from search.budget.stopwatch import Stopwatch

KILLED, LOST_S = "killed", 1.0
"""Name for the time of killed runs that belongs to no phase, and from how many seconds on it is shown."""


class TimeAccount:
    """Adds the phases of this run to those of earlier ones. Use from one thread.

    ``wall_s`` is what the earlier runs took.

    >>> account = TimeAccount(10.0, clock=lambda: 0.0)
    >>> account.recall({"preparing": 4.0, "searching": 3.5})
    >>> account.seconds
    {'preparing': 4.0, 'searching': 3.5, 'killed': 2.5}
    """

    def __init__(self, wall_s: float, clock: Clock) -> None:
        self._wall_s, self._clock = wall_s, clock
        self._watch = Stopwatch(clock)
        self._earlier_s: dict[str, float] = {}
        self._counted_until = clock()

    def timing(self, phase: str) -> AbstractContextManager[None]:
        """Adds the time spent inside the block to a phase, also if it raises."""
        return self._watch.timing(phase)

    def recall(self, earlier_s: Mapping[str, float]) -> None:
        """Takes over the seconds by phase that earlier runs stored; what they do not explain is under ``killed``."""
        self._earlier_s = dict(earlier_s)
        lost_s = self._wall_s - sum(earlier_s.values())
        if earlier_s and lost_s > LOST_S:
            self._earlier_s[KILLED] = round(self._earlier_s.get(KILLED, 0.0) + lost_s, 3)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by phase, of all runs."""
        return self._earlier_s | {
            phase: round(self._earlier_s.get(phase, 0.0) + seconds, 3) for phase, seconds in self._watch.seconds.items()
        }

    def take_s(self) -> float:
        """Returns the seconds since the last call, or since the run began."""
        since, self._counted_until = self._counted_until, self._clock()
        return self._counted_until - since
