"""When a paired measurement has gone on for long enough."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evaluators.measuring.pairs import narrowing

GROWTH = 1.25
"""Between two looks at the interval the number of session pairs grows by so much. Whoever looks after each pair ends at
the luckiest of many widths, and then an interval of 95 % holds the true ratio in 92 cases of 100."""


@dataclass(frozen=True)
class Limits:
    """How many session pairs, for how long and until which width, as a share of the ratio.

    Once there are ``min_pairs`` and ``min_s`` seconds have passed, an interval within ``aim_width`` ends a measurement
    at once, one within ``half_width`` after ``aim_s``, and any after ``max_s``, where ``few_pairs`` will do. One that
    is then wider than ``usable_width`` has until ``patience_s``, if more pairs would make it usable.
    """

    min_pairs: int
    few_pairs: int
    min_s: float
    aim_s: float
    max_s: float
    patience_s: float
    aim_width: float
    half_width: float
    usable_width: float


class Stopping:
    """Decides after each session pair of one measurement."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._next_look = 0

    def looks(self, pairs: int, elapsed_s: float) -> bool:
        """Whether the interval of so many session pairs is to be looked at."""
        limits = self._limits
        if elapsed_s >= limits.max_s:
            return pairs >= min(limits.few_pairs, limits.min_pairs)
        if pairs < max(limits.min_pairs, self._next_look) or elapsed_s < limits.min_s:
            return False
        self._next_look = math.ceil(pairs * GROWTH)
        return True

    def over(self, half_width: float, elapsed_s: float) -> bool:
        """Whether an interval that was looked at is narrow enough by now."""
        limits = self._limits
        if elapsed_s >= limits.max_s:
            return half_width <= max(limits.usable_width, limits.half_width)
        return half_width <= (limits.half_width if elapsed_s >= limits.aim_s else limits.aim_width)

    def hopeless(self, half_width: float, pairs: int, elapsed_s: float) -> bool:
        """Whether an interval that is too wide after ``max_s`` would still be so at the end of all patience.

        A look more narrows the interval of few pairs by much: from three pairs to four Student's quantile falls from
        4.3 to 3.2, which counts for more than the square root of their number.
        """
        limits = self._limits
        if elapsed_s < limits.max_s:
            return False
        later = int(pairs * limits.patience_s / max(elapsed_s, 1e-9))
        if elapsed_s >= limits.patience_s or later <= pairs or pairs < 2:
            return True
        return half_width * narrowing(pairs, later) > max(limits.usable_width, limits.half_width)
