"""A moment until which questions are asked, and what it means that it has passed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from hwprofiles.errors import NotAsked

Clock = Callable[[], float]
"""Seconds since some moment that all processes of this machine share."""


@dataclass(frozen=True)
class Deadline:
    """The moment ``ends_at`` on a ``clock``; infinitely far, unless somebody is in a hurry. Travels between processes.

    >>> Deadline(10.0, clock=lambda: 7.0).within(5.0)
    3.0
    """

    ends_at: float = math.inf
    clock: Clock = time.monotonic

    @property
    def left_s(self) -> float:
        """Seconds until then, at least 0."""
        return max(0.0, self.ends_at - self.clock())

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return self.left_s <= 0.0

    def within(self, limit_s: float) -> float:
        """The shorter of a limit and the time that is left."""
        return min(limit_s, self.left_s)

    def check(self) -> None:
        """Raises :class:`NotAsked` where no time is left."""
        if self.is_over:
            raise NotAsked("the time for it was over", "raise budget.minutes")


NEVER = Deadline()
