"""Deadlines for questions to devices."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from hwprofiles.errors import NotAsked

Clock = Callable[[], float]
"""Seconds since a fixed time that all processes of this machine share."""


@dataclass(frozen=True)
class Deadline:
    """A time on a clock; can be sent to other processes.

    >>> Deadline(10.0, clock=lambda: 7.0).within(5.0)
    3.0
    """

    ends_at: float = math.inf
    """Seconds on ``clock``; infinity for no deadline."""
    clock: Clock = time.monotonic

    @property
    def left_s(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self.ends_at - self.clock())

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return self.left_s <= 0.0

    def within(self, limit_s: float) -> float:
        """Returns the shorter of ``limit_s`` and the time left."""
        return min(limit_s, self.left_s)

    def check(self) -> None:
        """Raises :class:`NotAsked` if no time is left."""
        if self.is_over:
            raise NotAsked("no time was left for it", "raise budget.minutes")


NEVER = Deadline()
