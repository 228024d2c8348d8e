"""Objectives and constraints over metrics.

A candidate's metrics are plain data: a number (``accuracy``, ``size_bytes``), or a mapping whose main figure is its
``p50`` (``latency_ms``) or ``ratio`` (``speedup``). ``latency_ms`` therefore names the median, ``latency_ms.p90`` that
percentile; ``fnr:3`` is a plain name, the false-negative rate of class 3. A candidate that lacks a
metric is never feasible and never dominates.

With several devices, ``speedup@LABEL`` is the figure of a device and ``speedup@geomean`` (or ``@min``, ``@max``) that
of all devices; a name without ``@`` stands for the device on which it is worst.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evaluators.metrics import Metric, main_figure, metric_of
from hwprofiles.errors import InvalidInput
from search.fronts.constraint_mistakes import NAME, NUMBER, mend_constraint
from search.fronts.metrics import DEVICES, FOLDS, figure_on, is_device_metric

Metrics = Mapping[str, Any]


def metric_value(metrics: Metrics, name: str) -> float | None:
    """Returns the value of a dotted metric name, ``@`` a device or fold (see above); None if missing or not finite."""
    if _is_fold(metrics, name):
        return _fold(metrics, name)
    value, fields = _entry(metrics, name)
    for part in fields:
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return main_figure(value)


def metric_interval(metrics: Metrics, name: str) -> tuple[float, float] | None:
    """Returns the 95 % interval stored with a metric, or None. For a folded metric the ends of the devices' are
    folded."""
    if _is_fold(metrics, name):
        bounds = [metric_interval(metrics, on) for on in _on_each(metrics, name)]
        if not bounds or None in bounds:
            return None
        lows, highs = zip(*(pair for pair in bounds if pair is not None), strict=True)
        fold = FOLDS[name.rpartition("@")[2]]
        return fold(lows), fold(highs)
    value, fields = _entry(metrics, name)
    if not fields and isinstance(value, Mapping) and "ci95" in value:
        low, high = value["ci95"]
        return float(low), float(high)
    return None


def _is_fold(metrics: Metrics, name: str) -> bool:
    return DEVICES in metrics and name.rpartition("@")[2] in FOLDS and name not in metrics


def _entry(metrics: Metrics, name: str) -> tuple[Any, list[str]]:
    """Returns the value under a name (None if there is none), and the remaining dotted fields of the name.

    A user's own metric may have ``@`` and dots in its name: ``mAP@0.5``.
    """
    if name in metrics:
        return metrics[name], []
    dotted, _, label = name.rpartition("@")
    if label not in metrics.get(DEVICES, ()):
        dotted, label = name, ""
    whole = _figure(metrics, dotted, label)
    if whole is not None:
        return whole, []
    first, *fields = dotted.split(".")
    return _figure(metrics, first, label), fields


def _figure(metrics: Metrics, name: str, label: str) -> Any:
    return figure_on(metrics, name, label) if label else metrics.get(name)


def _on_each(metrics: Metrics, name: str) -> list[str]:
    """Returns the names of the metric on each device."""
    return [f"{name.rpartition('@')[0]}@{label}" for label in metrics.get(DEVICES, ())]


def _fold(metrics: Metrics, name: str) -> float | None:
    values = [metric_value(metrics, on) for on in _on_each(metrics, name)]
    if not values or None in values:
        return None
    value = FOLDS[name.rpartition("@")[2]]([value for value in values if value is not None])
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Objective:
    """A metric and the direction in which it is better."""

    metric: str
    direction: Literal["max", "min"]
    own: Metric | None = field(default=None, compare=False)
    """The metric's row, if one of the job's techniques brought the metric."""

    @property
    def row(self) -> Metric:
        """The metric's row in the table of metrics, or its own one."""
        return self.own or metric_of(self.metric)

    def value(self, metrics: Metrics) -> float | None:
        """Returns the metric's value, on the device where it is worst if several and none is named; None if missing."""
        if DEVICES not in metrics or "@" in self.metric:
            return metric_value(metrics, self.metric)
        return metric_value(metrics, f"{self.metric}@{'min' if self.direction == 'max' else 'max'}")

    def gain(self, metrics: Metrics) -> float | None:
        """:meth:`value` with its sign turned so that larger is better."""
        value = self.value(metrics)
        if value is None:
            return None
        return value if self.direction == "max" else -value

    def gain_interval(self, metrics: Metrics) -> tuple[float, float] | None:
        """Returns the 95 % interval of :meth:`gain`; None if the metric has none."""
        interval = metric_interval(metrics, self.metric)
        if interval is None or self.direction == "max":
            return interval
        return -interval[1], -interval[0]


def gains(objectives: Sequence[Objective], metrics: Metrics) -> tuple[float, ...] | None:
    """Returns all gains, or None if a metric is missing."""
    values = [objective.gain(metrics) for objective in objectives]
    return None if any(value is None for value in values) else tuple(v for v in values if v is not None)


_CONSTRAINT = re.compile(
    rf"\s*(?P<name>{NAME})\s*(?P<sign><=|>=)\s*"
    rf"(?:(?P<number>{NUMBER})|baseline(?:\s*(?P<operator>[-+*])\s*(?P<operand>{NUMBER}))?)\s*"
)


@dataclass(frozen=True)
class Constraint:
    """``metric[@device] (<=|>=) number | baseline ± number | baseline * number``; parsed, never evaluated.

    >>> Constraint.parse("accuracy >= baseline - 0.01").violation({"accuracy": 0.9}, {"accuracy": 0.95})
    0.04
    """

    text: str
    metric: str
    device: str | None
    sign: str
    factor: float
    offset: float

    @classmethod
    def parse(cls, text: str, labels: Sequence[str] | None = None) -> Constraint:
        """Raises :class:`InvalidInput` for anything else than the form above.

        What follows the last ``@`` is a device where it is one of the job's ``labels`` or the metric is measured on
        devices, else part of the metric's name (``mAP@50``); always a device where no labels are given.
        """
        match = _CONSTRAINT.fullmatch(text)
        if match is None:
            raise InvalidInput(f"constraint {text!r} cannot be read", mend_constraint(text))
        if match["number"] is not None:
            factor, offset = 0.0, float(match["number"])
        else:
            operand = float(match["operand"] or 0.0)
            factor = operand if match["operator"] == "*" else 1.0
            offset = {"+": operand, "-": -operand}.get(match["operator"] or "", 0.0)
        if not (math.isfinite(factor) and math.isfinite(offset)):
            raise InvalidInput(f"constraint {text!r} has a number that is too large", "write a finite number")
        metric, at, device = match["name"].rpartition("@")
        if not at or not (labels is None or device in labels or is_device_metric(metric)):
            metric, device = match["name"], ""
        return cls(text.strip(), metric, device or None, match["sign"], factor, offset)

    def violation(self, metrics: Metrics, baseline: Metrics) -> float:
        """By how much the constraint is broken: 0 if it holds, infinity if a metric is missing.

        With several devices: on the named device, else on the one where it is broken most.
        """
        if DEVICES not in metrics:
            return self._excess(metrics, baseline, self.metric)
        labels = metrics[DEVICES] if self.device is None else [self.device]
        return max(self._excess(metrics, baseline, f"{self.metric}@{label}") for label in labels)

    def _excess(self, metrics: Metrics, baseline: Metrics, name: str) -> float:
        value = metric_value(metrics, name)
        reference = metric_value(baseline, name) if self.factor else 0.0
        if value is None or reference is None:
            return math.inf
        bound = self.factor * reference + self.offset
        excess = value - bound if self.sign == "<=" else bound - value
        # Decimal bounds such as 0.97 - 0.01 are not exact in binary.
        return 0.0 if excess <= 1e-12 * max(1.0, abs(bound)) else round(excess, 12)


def violations(constraints: Sequence[Constraint], metrics: Metrics, baseline: Metrics) -> tuple[float, ...]:
    """:meth:`Constraint.violation` of each constraint."""
    return tuple(constraint.violation(metrics, baseline) for constraint in constraints)
