"""Decides when a paired measurement ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evaluators.measuring.pairs import narrowing, relative_half_width
from hwprofiles.errors import UnhealthyMeasurement

GROWTH = 1.25
"""Factor by which the number of session pairs grows between two looks at the interval. Looking after each pair ends at
a width that is narrow by luck: then a 95 % interval contains the true ratio in 92 % of cases."""


@dataclass(frozen=True)
class Limits:
    """How many session pairs are measured, for how long, and until which width of the interval.

    Widths are half widths of the interval, as shares of the ratio.
    """

    min_pairs: int
    """Fewest session pairs before ``max_s``."""
    few_pairs: int
    """Fewest session pairs after ``max_s``."""
    min_s: float
    """Shortest duration."""
    aim_s: float
    """Until then only an interval within ``aim_width`` ends the measurement."""
    max_s: float
    """Until then only an interval within ``half_width`` ends it, afterwards any within ``usable_width``."""
    patience_s: float
    """Longest duration, if the interval is not usable before but more pairs can make it so."""
    aim_width: float
    half_width: float
    usable_width: float


class Stopping:
    """Decides after each session pair of one measurement."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._next_look = 0

    def looks(self, pairs: int, elapsed_s: float) -> bool:
        """Returns whether to look at the interval of so many session pairs now."""
        limits = self._limits
        if elapsed_s >= limits.max_s:
            return pairs >= min(limits.few_pairs, limits.min_pairs)
        if pairs < max(limits.min_pairs, self._next_look) or elapsed_s < limits.min_s:
            return False
        self._next_look = math.ceil(pairs * GROWTH)
        return True

    def ends(self, what: str, ratio: float, interval: tuple[float, float], pairs: int, elapsed_s: float) -> bool:
        """Returns whether this ratio of ``what`` is known well enough to end the measurement.

        Raises :class:`UnhealthyMeasurement` if more pairs will not make its interval usable.
        """
        half_width = relative_half_width(ratio, interval)
        if self.over(half_width, elapsed_s):
            return True
        if self.hopeless(half_width, pairs, elapsed_s):
            raise UnhealthyMeasurement(
                f"the {what}'s interval is still ±{half_width:.1%} wide after {elapsed_s:.0f} s",
                "reduce other load on the machine and measure again",
            )
        return False

    def over(self, half_width: float, elapsed_s: float) -> bool:
        """Returns whether the interval is narrow enough to end the measurement."""
        limits = self._limits
        if elapsed_s >= limits.max_s:
            return half_width <= max(limits.usable_width, limits.half_width)
        return half_width <= (limits.half_width if elapsed_s >= limits.aim_s else limits.aim_width)

    def hopeless(self, half_width: float, pairs: int, elapsed_s: float) -> bool:
        """Returns whether an interval that is too wide after ``max_s`` would still be too wide at ``patience_s``.

        With few pairs, one more narrows the interval by much: from three pairs to four, Student's quantile falls from
        4.3 to 3.2, which is more than the effect of the square root of their number.
        """
        limits = self._limits
        if elapsed_s < limits.max_s:
            return False
        later = int(pairs * limits.patience_s / max(elapsed_s, 1e-9))
        if elapsed_s >= limits.patience_s or later <= pairs or pairs < 2:
            return True
        return half_width * narrowing(pairs, later) > max(limits.usable_width, limits.half_width)
