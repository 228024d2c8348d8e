"""Candidates as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.words.metrics import metric_names
from search.fronts.objectives import metric_interval, metric_value

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """One compressed version of the model, or the model itself."""

    candidate_id: str
    """``baseline`` for the model itself."""
    decisions: Mapping[str, str]
    """The chosen value of each decision."""
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    """The 95 % intervals of measured metrics."""
    summary: str = "fp32"
    """What it changes, in words."""
    runtime: str | None = None
    """The runtime that executed it; None if nothing was executed."""
    health: str | None = None
    """The verdict on the machine while it was measured; None if nothing was measured."""
    unchanged: bool = False
    """Whether it is the model itself."""


def fields_of(row: Json) -> dict[str, Any]:
    """Returns the fields of a candidate from its document, as a front lists it."""
    values, intervals = figures_of(row["metrics"])
    known = {key: row[key] for key in ("candidate_id", "decisions", "summary", "runtime", "health", "unchanged")}
    return known | {"metrics": values, "intervals": intervals}


def baseline_of(front: Json) -> Candidate:
    """Returns the model itself, from the document of a front."""
    values, intervals = figures_of(front["baseline"]["metrics"])
    return Candidate("baseline", {}, values, intervals, runtime=front["runtime"], unchanged=True)


def figures_of(metrics: Json) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Returns the values and the intervals of metrics by name."""
    values = {name: metric_value(metrics, name) for name in metric_names(metrics)}
    intervals = {name: metric_interval(metrics, name) for name in values}
    return (
        {name: value for name, value in values.items() if value is not None},
        {name: bounds for name, bounds in intervals.items() if bounds is not None},
    )
