"""Comparisons of a receipt, one figure each, and their outcomes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Interval = tuple[float, float]

Z95 = 1.96
"""The normal distribution's 97.5 % quantile: half-widths of 95 % intervals in standard errors."""

WIDER = 1.5
"""A difference whose interval contains 0 may reach so many times the tolerance."""


class Outcome(StrEnum):
    """The outcome of a comparison."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Check:
    """The result of a comparison."""

    about: str
    """What was compared."""
    outcome: Outcome
    reason: str
    """Why it does not agree; empty if it does."""
    figures: Mapping[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        figures = {n: None if v is None or not math.isfinite(v) else v for n, v in self.figures.items()}
        return {"about": self.about, "outcome": self.outcome.value, "reason": self.reason, **figures}


class Comparison(ABC):
    """A figure that the front claims, and the figure that was measured now."""

    @abstractmethod
    def judge(self, z: float) -> Check:
        """Compares the figures; a difference of more than ``z`` standard errors is not explained by chance."""


@dataclass(frozen=True)
class Exact(Comparison):
    """A figure that must be equal to the last digit: it depends on the file only."""

    about: str
    claimed: float
    measured: float | None

    def judge(self, z: float) -> Check:
        """See :meth:`Comparison.judge`."""
        is_equal = self.claimed == self.measured
        reason = "" if is_equal else f"{self.about} is {self.measured!r}, the front said {self.claimed!r}"
        outcome = Outcome.AGREES if is_equal else Outcome.DISAGREES
        return Check(self.about, outcome, reason, {"claimed": self.claimed, "measured": self.measured})


@dataclass(frozen=True)
class Share(Comparison):
    """Two measurements of a positive figure, compared by the logarithm of their ratio.

    A test of equivalence, not only of difference (two one-sided tests: Schuirmann, J. Pharmacokinet. Biopharm., 1987).
    It agrees if the difference's 95 % interval lies within ``tolerance``, or contains 0 and lies within 1.5 times
    ``tolerance``, and the new measurement's own interval is no wider than ``tolerance``. A wide interval therefore
    confirms nothing.
    """

    about: str
    claimed: float
    measured: float
    claimed_ci95: Interval | None = None
    measured_ci95: Interval | None = None
    error: float = 0.0
    """Half-width, as a share, of a 95 % interval for errors that the intervals do not include."""
    tolerance: float = 0.05
    """As a share."""
    doubt: str = ""
    """Why the measurement can neither agree nor disagree; empty if it can."""

    def judge(self, z: float) -> Check:
        """See :meth:`Comparison.judge`."""
        difference = math.log(self.measured / self.claimed)
        own, theirs = half_width(self.measured_ci95), half_width(self.claimed_ci95)
        half = math.hypot(own, theirs, self.error)
        outcome = self._outcome(difference, own, half, z)
        figures = {
            "claimed": self.claimed, "measured": self.measured, "difference": math.expm1(difference),
            "half_width": half, "tolerance": self.tolerance,
        }  # fmt: skip
        return Check(self.about, outcome, self._reason(outcome, own, half), figures)

    def _outcome(self, difference: float, own: float, half: float, z: float) -> Outcome:
        if self.doubt:
            return Outcome.INCONCLUSIVE
        reach = abs(difference) + half
        near = reach <= self.tolerance or (abs(difference) <= half and reach <= WIDER * self.tolerance)
        if near and own <= self.tolerance:
            return Outcome.AGREES
        return Outcome.DISAGREES if abs(difference) > z * half / Z95 else Outcome.INCONCLUSIVE

    def _reason(self, outcome: Outcome, own: float, half: float) -> str:
        text = f"{self.about} is {self.measured:.4g}, the front said {self.claimed:.4g}"
        if outcome is not Outcome.INCONCLUSIVE:
            return "" if outcome is Outcome.AGREES else text
        if self.doubt:
            return f"{text}, but {self.doubt}"
        if own > self.tolerance:
            return f"{text}, but the interval measured now is ±{own:.1%}, wider than ±{self.tolerance:.0%}"
        return f"{text}, a difference known to ±{half:.1%} only"


@dataclass(frozen=True)
class Generalised(Comparison):
    """A metric's loss against the fp32 model, on the validation split and on the test split.

    Disagrees if the losses differ by more than chance explains. A metric that the job names is also inconclusive if
    they differ by more than ``tolerance`` but the splits are too small to tell.
    """

    metric: str
    validation: float
    """Loss on the validation split."""
    test: float
    """Loss on the test split."""
    validation_ci95: Interval | None
    test_ci95: Interval | None
    tolerance: float
    """Also the half-width of the interval of a loss that has none."""
    named: bool
    """Whether an objective or constraint names the metric."""

    def judge(self, z: float) -> Check:
        """See :meth:`Comparison.judge`."""
        difference = self.test - self.validation
        halves = [_half(interval, self.tolerance) for interval in (self.validation_ci95, self.test_ci95)]
        half, about = math.hypot(*halves), f"{self.metric} on the test split"
        figures = {
            "claimed": self.validation, "measured": self.test, "difference": difference, "half_width": half,
            "tolerance": self.tolerance,
        }  # fmt: skip
        text = (
            f"{self.metric} changes by {self.test:+.4g} against fp32 on the test split, "
            f"by {self.validation:+.4g} on the validation split"
        )
        if abs(difference) > z * half / Z95:
            return Check(about, Outcome.DISAGREES, text, figures)
        if self.named and abs(difference) > self.tolerance:
            reason = f"{text}, a difference known to ±{half:.2g} only"
            return Check(about, Outcome.INCONCLUSIVE, reason, figures)
        return Check(about, Outcome.AGREES, "", figures)


@dataclass(frozen=True)
class Splits(Comparison):
    """A metric without intervals, on the validation split and on the test split.

    A large difference is inconclusive: the fp32 model may lose as much on unseen samples.
    """

    metric: str
    validation: float
    test: float
    tolerance: float

    def judge(self, z: float) -> Check:
        """See :meth:`Comparison.judge`."""
        about = f"{self.metric} on unseen samples"
        figures = {"claimed": self.validation, "measured": self.test, "tolerance": self.tolerance}
        if abs(self.test - self.validation) <= self.tolerance:
            return Check(about, Outcome.AGREES, "", figures)
        text = f"{self.metric} is {self.test:.4g} on the test split, {self.validation:.4g} on the validation split"
        return Check(about, Outcome.INCONCLUSIVE, f"{text}: the splits differ", figures)


@dataclass(frozen=True)
class Bound(Comparison):
    """A constraint that held on the front, on figures measured now."""

    text: str
    where: str
    """Which figures: measured again, or of the test split."""
    excess: float
    """By how much it is broken: 0 if it holds, infinite if there is no figure."""
    half: float
    """Half-width of the figure's 95 % interval."""
    doubt: str = ""
    """Why the figure is not reliable; empty if it is."""

    def judge(self, z: float) -> Check:
        """See :meth:`Comparison.judge`."""
        about, figures = f"constraint {self.text!r} {self.where}", {"excess": self.excess, "half_width": self.half}
        if self.excess == 0:
            return Check(about, Outcome.AGREES, "", figures)
        if math.isinf(self.excess):
            return Check(about, Outcome.INCONCLUSIVE, f"{about}: there is no figure to judge it by", {"excess": None})
        if self.doubt:
            return Check(
                about, Outcome.INCONCLUSIVE, f"{about}: broken by {self.excess:.3g}, but {self.doubt}", figures
            )
        if self.excess > z * self.half / Z95:
            return Check(about, Outcome.DISAGREES, f"{about}: broken by {self.excess:.3g}", figures)
        reason = f"{about}: broken by {self.excess:.3g}, within the error of ±{self.half:.2g}"
        return Check(about, Outcome.INCONCLUSIVE, reason, figures)


@dataclass(frozen=True)
class Missing(Comparison):
    """A figure that the front claims, but that could not be measured now."""

    about: str
    why: str

    def judge(self, z: float) -> Check:
        """See :meth:`Comparison.judge`."""
        return Check(self.about, Outcome.INCONCLUSIVE, f"{self.about} was not measured again: {self.why}", {})


def half_width(interval: Interval | None) -> float:
    """Half the width of a positive figure's interval, in logarithms; 0 without interval."""
    if interval is None:
        return 0.0
    low, high = interval
    return math.log(high / low) / 2 if low > 0 else math.inf


def _half(interval: Interval | None, without: float) -> float:
    return without if interval is None else (interval[1] - interval[0]) / 2
