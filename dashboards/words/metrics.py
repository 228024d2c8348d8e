"""The metrics that documents show: their names, and the baseline's figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.figures import row_of
from evaluators.metrics import METRICS
from search.fronts.metrics import DEVICE_METRICS, DEVICES
from search.fronts.objectives import metric_value

USUAL_METRICS = tuple(name for name, row in METRICS.items() if row.usual)
"""Shown besides the objectives, if they have figures."""


def metric_names(metrics: Mapping[str, Any]) -> list[str]:
    """Returns the metrics that have a figure; those that differ between several devices once for each device."""
    labels = metrics.get(DEVICES, ())
    bases = (name.partition("@")[0] if name.partition("@")[2] in labels else name for name in metrics)
    names: list[str] = []
    for name in dict.fromkeys(bases):
        own = [f"{name}@{label}" for label in labels]
        names += own if labels and (name in DEVICE_METRICS or any(part in metrics for part in own)) else [name]
    return [name for name in names if metric_value(metrics, name) is not None]


def baseline_value(metrics: Mapping[str, Any], name: str) -> float | None:
    """Returns a metric of the baseline; comparisons with the uncompressed model have fixed values for the model
    itself."""
    value = metric_value(metrics, name)
    return row_of(name).baseline if value is None and "." not in name else value
