"""Objectives and constraints over metrics.

A candidate's metrics are plain data: a number (``accuracy``, ``size_bytes``), or a mapping whose main figure is its
``p50`` (``latency_ms``) or ``ratio`` (``speedup``). ``latency_ms`` therefore names the median, ``latency_ms.p90`` that
percentile. A metric that is missing is never feasible and never dominates.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hwprofiles.errors import InvalidInput

Metrics = Mapping[str, Any]
_MAIN_FIGURES = ("p50", "ratio", "value")


def metric_value(metrics: Metrics, name: str) -> float | None:
    """The number that a dotted metric name stands for; None where it is missing or not finite."""
    value: Any = metrics
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    if isinstance(value, Mapping):
        value = next((value[figure] for figure in _MAIN_FIGURES if figure in value), None)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def metric_interval(metrics: Metrics, name: str) -> tuple[float, float] | None:
    """The 95 % interval stored with a metric, or None where it has none."""
    value = metrics.get(name)
    if isinstance(value, Mapping) and "ci95" in value:
        low, high = value["ci95"]
        return float(low), float(high)
    return None


@dataclass(frozen=True)
class Objective:
    """A metric and the direction in which it is better."""

    metric: str
    direction: Literal["max", "min"]

    def gain(self, metrics: Metrics) -> float | None:
        """The metric with its sign turned so that larger is better; None where it is missing."""
        value = metric_value(metrics, self.metric)
        if value is None:
            return None
        return value if self.direction == "max" else -value

    def gain_interval(self, metrics: Metrics) -> tuple[float, float] | None:
        """The interval of :meth:`gain`; None where the metric has no interval of its own."""
        interval = metric_interval(metrics, self.metric)
        if interval is None or self.direction == "max":
            return interval
        return -interval[1], -interval[0]


def gains(objectives: Sequence[Objective], metrics: Metrics) -> tuple[float, ...] | None:
    """All gains, or None where a metric is missing."""
    values = [objective.gain(metrics) for objective in objectives]
    return None if any(value is None for value in values) else tuple(v for v in values if v is not None)


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_CONSTRAINT = re.compile(
    rf"\s*(?P<metric>[A-Za-z_]\w*(?:\.\w+)*)(?:@(?P<device>[\w.-]+))?\s*(?P<sign><=|>=)\s*"
    rf"(?:(?P<number>{_NUMBER})|baseline(?:\s*(?P<operator>[-+*])\s*(?P<operand>{_NUMBER}))?)\s*"
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
    def parse(cls, text: str) -> Constraint:
        """Raises :class:`InvalidInput` for anything else than the form above."""
        match = _CONSTRAINT.fullmatch(text)
        if match is None:
            raise InvalidInput(
                f"constraint {text!r} cannot be read",
                "write it as: metric (<=|>=) number, or metric (<=|>=) baseline (-|+|*) number",
            )
        if match["number"] is not None:
            factor, offset = 0.0, float(match["number"])
        else:
            operand = float(match["operand"] or 0.0)
            factor = operand if match["operator"] == "*" else 1.0
            offset = {"+": operand, "-": -operand}.get(match["operator"] or "", 0.0)
        return cls(text.strip(), match["metric"], match["device"], match["sign"], factor, offset)

    def violation(self, metrics: Metrics, baseline: Metrics) -> float:
        """How far the metric is on the wrong side: 0 where it holds, infinity where a metric is missing."""
        value = metric_value(metrics, self.metric)
        reference = metric_value(baseline, self.metric) if self.factor else 0.0
        if value is None or reference is None:
            return math.inf
        bound = self.factor * reference + self.offset
        excess = value - bound if self.sign == "<=" else bound - value
        # Decimal bounds such as 0.97 - 0.01 are not exact in binary.
        return 0.0 if excess <= 1e-12 * max(1.0, abs(bound)) else round(excess, 12)


def violations(constraints: Sequence[Constraint], metrics: Metrics, baseline: Metrics) -> tuple[float, ...]:
    """One figure a constraint, 0 where it holds."""
    return tuple(constraint.violation(metrics, baseline) for constraint in constraints)
