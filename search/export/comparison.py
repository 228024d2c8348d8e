"""What a receipt compares, one figure at a time, and what each comparison comes to."""

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
"""A difference whose interval holds 0 may reach so many times the tolerance."""


class Outcome(StrEnum):
    """What a comparison comes to."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Check:
    """A comparison that was judged; ``reason`` says why it does not agree."""

    about: str
    outcome: Outcome
    reason: str
    figures: Mapping[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        figures = {n: None if v is None or not math.isfinite(v) else v for n, v in self.figures.items()}
        return {"about": self.about, "outcome": self.outcome.value, "reason": self.reason, **figures}


class Comparison(ABC):
    """Something that the front claimed beside what was measured now."""

    @abstractmethod
    def judged(self, z: float) -> Check:
        """What it comes to, if a difference of ``z`` standard errors is one that chance does not make."""


@dataclass(frozen=True)
class Exact(Comparison):
    """A figure that must be the same to the last digit: the same file gives it each time."""

    about: str
    claimed: float
    measured: float | None

    def judged(self, z: float) -> Check:
        """See :meth:`Comparison.judged`."""
        same = self.claimed == self.measured
        reason = "" if same else f"{self.about} is {self.measured!r}, the front said {self.claimed!r}"
        outcome = Outcome.AGREES if same else Outcome.DISAGREES
        return Check(self.about, outcome, reason, {"claimed": self.claimed, "measured": self.measured})


@dataclass(frozen=True)
class Share(Comparison):
    """Two measurements of a positive figure, compared by the logarithm of their ratio.

    A sign of being the same is asked for, not only none of a difference (two one-sided tests: Schuirmann, J.
    Pharmacokinet. Biopharm., 1987). It agrees where the difference's 95 % interval lies within ``tolerance``, or holds
    0 and lies within 1.5 times that, and the new measurement's own interval is no wider than ``tolerance``. A wide
    interval therefore confirms nothing, whoever's it is. ``error`` is the half-width of a 95 % interval for what the
    intervals leave out, as a share: for a figure without one, all there is. ``doubt`` says why the measurement may
    neither agree nor disagree.
    """

    about: str
    claimed: float
    measured: float
    claimed_ci95: Interval | None = None
    measured_ci95: Interval | None = None
    error: float = 0.0
    tolerance: float = 0.05
    doubt: str = ""

    def judged(self, z: float) -> Check:
        """See :meth:`Comparison.judged`."""
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
        said = f"{self.about} is {self.measured:.4g}, the front said {self.claimed:.4g}"
        if outcome is not Outcome.INCONCLUSIVE:
            return "" if outcome is Outcome.AGREES else said
        if self.doubt:
            return f"{said}, but {self.doubt}"
        if own > self.tolerance:
            return f"{said}, but the interval measured now is ±{own:.1%}, wider than ±{self.tolerance:.0%}"
        return f"{said}, a difference known to ±{half:.1%} only"


@dataclass(frozen=True)
class Generalised(Comparison):
    """What a metric loses against the fp32 model on the validation split and on the test split.

    It disagrees where the two losses differ by more than chance makes them; ``named``, by an objective or constraint,
    it is also inconclusive where they differ by more than ``tolerance`` but the splits are too small to tell. A loss
    without an interval counts as known to ``tolerance``.
    """

    metric: str
    validation: float
    test: float
    validation_ci95: Interval | None
    test_ci95: Interval | None
    tolerance: float
    named: bool

    def judged(self, z: float) -> Check:
        """See :meth:`Comparison.judged`."""
        difference = self.test - self.validation
        halves = [_half(interval, self.tolerance) for interval in (self.validation_ci95, self.test_ci95)]
        half, about = math.hypot(*halves), f"{self.metric} on the test split"
        figures = {
            "claimed": self.validation, "measured": self.test, "difference": difference, "half_width": half,
            "tolerance": self.tolerance,
        }  # fmt: skip
        said = (
            f"{self.metric} changes by {self.test:+.4g} against fp32 on the test split, "
            f"by {self.validation:+.4g} on the validation split"
        )
        if abs(difference) > z * half / Z95:
            return Check(about, Outcome.DISAGREES, said, figures)
        if self.named and abs(difference) > self.tolerance:
            reason = f"{said}, a difference known to ±{half:.2g} only"
            return Check(about, Outcome.INCONCLUSIVE, reason, figures)
        return Check(about, Outcome.AGREES, "", figures)


@dataclass(frozen=True)
class Splits(Comparison):
    """A metric of which only finished figures are known, on the validation split and on the test split.

    The fp32 model may fall as far between them, and the file be what it should be; but a figure that unseen samples do
    not come near is not confirmed.
    """

    metric: str
    validation: float
    test: float
    tolerance: float

    def judged(self, z: float) -> Check:
        """See :meth:`Comparison.judged`."""
        about = f"{self.metric} on unseen samples"
        figures = {"claimed": self.validation, "measured": self.test, "tolerance": self.tolerance}
        if abs(self.test - self.validation) <= self.tolerance:
            return Check(about, Outcome.AGREES, "", figures)
        said = f"{self.metric} is {self.test:.4g} on the test split, {self.validation:.4g} on the validation split"
        return Check(about, Outcome.INCONCLUSIVE, f"{said}: the splits differ", figures)


@dataclass(frozen=True)
class Bound(Comparison):
    """A constraint of the job that the front said to hold, on figures measured now.

    ``excess`` is how far the figure is on the wrong side (0: it holds), infinite where there is none, ``half`` the
    half-width of its 95 % interval.
    """

    text: str
    where: str
    excess: float
    half: float
    doubt: str = ""

    def judged(self, z: float) -> Check:
        """See :meth:`Comparison.judged`."""
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
    """A figure that the front claimed and that could not be measured now."""

    about: str
    why: str

    def judged(self, z: float) -> Check:
        """See :meth:`Comparison.judged`."""
        return Check(self.about, Outcome.INCONCLUSIVE, f"{self.about} was not measured again: {self.why}", {})


def half_width(interval: Interval | None) -> float:
    """Half the width of an interval of a positive figure's logarithm; 0 for none."""
    if interval is None:
        return 0.0
    low, high = interval
    return math.log(high / low) / 2 if low > 0 else math.inf


def _half(interval: Interval | None, without: float) -> float:
    return without if interval is None else (interval[1] - interval[0]) / 2
