"""The verdict of a receipt: compares claimed and measured figures that objectives and constraints name."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import NormalDist
from typing import Any

from evaluators.metrics import METRICS, metric_of
from search.export.comparison import (
    Bound,
    Check,
    Comparison,
    Exact,
    Generalised,
    Missing,
    Outcome,
    Share,
    Splits,
    half_width,
)
from search.fronts.metrics import is_device_metric
from search.fronts.objectives import Constraint, metric_interval, metric_value
from search.fronts.reference import RAW
from search.fronts.views import View
from search.trials.scoring import Loss

ALPHA = 0.002
"""Probability that an honest file disagrees, over all comparisons of a receipt (Bonferroni, 1936)."""

TOLERANCE = 0.05
"""Relative difference up to which two speeds are the same. Also the tolerance of a quality's difference between two
splits (relative if the figure is above 1), and the half-width of a quality without interval."""

UNSEEN = 0.25
"""Relative difference on unseen samples that is tolerated of a quality without interval."""

PERCENTILE_ERROR = 0.15
"""Half-width of a 95 % interval, as a share, of a percentile (``latency_ms.p99``) and of other figures without
interval, where the table of metrics states no ``error``."""


class Verdict(StrEnum):
    """The verdict of a receipt."""

    CONFIRMED = "confirmed"
    DISAGREES = "disagrees"
    INCONCLUSIVE = "inconclusive"
    UNCLAIMED = "unclaimed"


@dataclass(frozen=True)
class Evidence:
    """A candidate's claimed figures on a device, and the figures measured again from its file."""

    view: View
    claimed: Mapping[str, Any]
    """The front's metrics on the device; empty if the front was modelled."""
    measured: Mapping[str, Any]
    """The new metrics."""
    baseline: Mapping[str, Any]
    """The fp32 model's metrics at the job's start."""
    validation: Mapping[str, Loss]
    test: Mapping[str, Loss]
    timed: bool = True
    """Whether a device can time the file."""
    doubt: str = ""
    """Why the new times are not reliable; empty if they are."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Metrics that could not be measured, with the reason."""
    own: Collection[str] = ()
    """Metrics that the job's techniques brought, which are exact."""

    def comparisons(self) -> list[Comparison]:
        """Compares files, devices, quality on the splits, and the bounds on speed."""
        return [*self._files(), *self._devices(), *self.splits(), *self._bounds()]

    def speed(self) -> Comparison | None:
        """Returns the comparison of the speed-up; None if none was claimed."""
        return self._share("speedup")

    def splits(self) -> Iterator[Comparison]:
        """Comparisons of each metric's loss on the test split and on the validation split."""
        for name, loss in self.test.items():
            ours, named = self.validation[name], name in self._metric_names
            if named and loss.ci95 is None:
                most = UNSEEN * max(abs(ours.value), abs(loss.value))
                yield Splits(name, ours.value, loss.value, most)
            yield Generalised(
                name, ours.value - ours.baseline, loss.value - loss.baseline, ours.difference_ci95,
                loss.difference_ci95, TOLERANCE * _size(ours, loss), named,
            )  # fmt: skip

    def _files(self) -> Iterator[Exact]:
        for name, loss in self.validation.items():
            if name in self.claimed:
                yield Exact(f"{name} on the validation split", self.claimed[name], loss.value)
        for name in (*(name for name, row in METRICS.items() if row.exact), *self.own):
            if name in self.claimed and name in self.measured:
                yield Exact(name, self.claimed[name], self.measured[name])

    def _devices(self) -> Iterator[Comparison]:
        if not self.timed:
            return
        for name in self._metric_names:
            comparison = self._share(name) if is_device_metric(name) else None
            if comparison is not None:
                yield comparison

    def _share(self, name: str) -> Comparison | None:
        claimed, measured = metric_value(self.claimed, name), metric_value(self.measured, name)
        if claimed is None or claimed <= 0 or (_base(name) == "latency_ms" and RAW not in self.claimed["latency_ms"]):
            return None  # a job of an earlier version: its raw milliseconds do not compare, its speed-up does
        if measured is None or measured <= 0:
            return Missing(name, self.missing.get(_base(name), self.doubt or "the device gave none"))
        theirs, ours = metric_interval(self.claimed, name), metric_interval(self.measured, name)
        error = self._error(name, claimed)
        tolerance = max(TOLERANCE, 2 * error)
        return Share(name, claimed, measured, theirs, ours, error, tolerance, self._doubt_of(name))

    def _error(self, name: str, claimed: float) -> float:
        row = metric_of(name)
        without = metric_interval(self.claimed, name) is None or metric_interval(self.measured, name) is None
        error = row.error if row.error is not None else PERCENTILE_ERROR if without else 0.0
        return max(error, row.resolution / claimed)

    def _doubt_of(self, name: str) -> str:
        figure = self.measured.get(_base(name))
        if isinstance(figure, Mapping) and "health" in figure:  # measured at another moment than latency
            return "" if figure["health"] == "healthy" else f"the machine was {figure['health']}"
        return self.doubt if metric_of(name).of_moment else ""

    def _bounds(self) -> Iterator[Bound]:
        """Yields the constraints that held on the front, on the new figures and on those of the test split."""
        test = {name: loss.value for name, loss in self.test.items()}
        test_baseline = {name: loss.baseline for name, loss in self.test.items()}
        for constraint in self.view.constraints:
            if constraint.violation(self.claimed, self.baseline) > 0:
                continue
            name = constraint.metric
            if is_device_metric(name):
                if self.timed:
                    excess = constraint.violation(self.measured, self.baseline)
                    yield Bound(constraint.text, "measured again", excess, self._half(name), self._doubt_of(name))
            elif name in test:
                excess = constraint.violation(test, test_baseline)
                yield Bound(constraint.text, "on the test split", excess, _half_of(constraint, self.test[name]))
            else:
                yield Bound(constraint.text, "measured again", constraint.violation(self.measured, self.baseline), 0.0)

    def _half(self, name: str) -> float:
        value = metric_value(self.measured, name)
        if not value:
            return 0.0
        return value * math.hypot(half_width(metric_interval(self.measured, name)), self._error(name, value))

    @property
    def _metric_names(self) -> list[str]:
        objectives = [objective.metric for objective in self.view.objectives]
        names = [*objectives, *(constraint.metric for constraint in self.view.constraints)]
        return list(dict.fromkeys(["speedup", *names]))


def judge(comparisons: Sequence[Comparison]) -> list[Check]:
    """Judges all comparisons; the more there are, the larger a difference must be to disagree."""
    z = NormalDist().inv_cdf(1 - ALPHA / 2 / max(1, len(comparisons)))
    return [comparison.judge(z) for comparison in comparisons]


def verdict_of(checks: Sequence[Check], findings: Sequence[str], *, claims: bool) -> Verdict:
    """Returns the verdict; without ``claims`` (a modelled front) nothing can be confirmed, but figures can disagree."""
    outcomes = {check.outcome for check in checks}
    if findings or Outcome.DISAGREES in outcomes:
        return Verdict.DISAGREES
    if not claims:
        return Verdict.UNCLAIMED
    return Verdict.INCONCLUSIVE if Outcome.INCONCLUSIVE in outcomes else Verdict.CONFIRMED


def _base(name: str) -> str:
    return name.partition(".")[0]


def _size(*losses: Loss) -> float:
    """Returns the scale of a tolerance: 1 for figures between 0 and 1 with intervals, else the largest figure."""
    sizes = [abs(value) for loss in losses for value in (loss.value, loss.baseline)]
    has_intervals = all(loss.difference_ci95 is not None for loss in losses)
    return max(1.0, *sizes) if has_intervals else max(sizes) or 1.0


def _half_of(constraint: Constraint, loss: Loss) -> float:
    """Half-width of the interval of a figure's distance from its bound."""
    interval = loss.difference_ci95 if constraint.factor == 1 else loss.ci95
    if interval is None:
        return TOLERANCE * max(abs(loss.value), abs(loss.baseline))
    return (interval[1] - interval[0]) / 2
