"""The runtime of a candidate, and its costs apart from latency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dashboards.figures import figure, metric_title
from dashboards.words import Json
from evaluators.metrics import METRICS
from search.fronts.metrics import DEVICES, figures_on
from search.fronts.objectives import metric_value
from search.space.candidate import runtime_decision

COSTS = tuple(name for name, row in METRICS.items() if row.of_runtime)
_WORSE = 1.1
"""Ratio to the baseline from which a cost counts as worse; less is noise."""


def runtime_on(decisions: Mapping[str, str], label: str, first: str, usual: str) -> str:
    """Returns the runtime that a candidate chose for the device ``label``.

    ``first`` is the label of the job's first device, ``usual`` the device's own runtime.
    """
    return decisions.get(runtime_decision(None if label == first else label), usual)


def costs_of(metrics: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Json]:
    """Cold start and peak memory, if they are worse than the baseline's, as ``{"value", "baseline"}`` by metric.

    >>> costs_of({"cold_start_ms": {"p50": 80.0}}, {"cold_start_ms": {"p50": 9.0}})
    {'cold_start_ms': {'value': 80.0, 'baseline': 9.0}}
    """
    pairs = {name: (metric_value(metrics, name), metric_value(baseline, name)) for name in COSTS}
    return {
        name: {"value": value, "baseline": usual}
        for name, (value, usual) in pairs.items()
        if value is not None and usual is not None and value > _WORSE * usual
    }


def costs_in_words(costs: Mapping[str, Json]) -> str:
    """Returns the costs in one line; empty without costs.

    >>> costs_in_words({"cold_start_ms": {"value": 80.0, "baseline": 9.0}})
    'cold start 80.0 ms (baseline 9.00 ms)'
    """
    return ", ".join(
        f"{metric_title(name).lower()} {figure(cost['value'], name)} (baseline {figure(cost['baseline'], name)})"
        for name, cost in costs.items()
    )


def runtime_line(runtime: str, metrics: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    """Returns the runtime in which an exported file was measured, with its costs there.

    >>> runtime_line("openvino:bf16", {"cold_start_ms": {"p50": 80.0}}, {"cold_start_ms": {"p50": 9.0}})
    'measured in openvino:bf16; another runtime may be slower. Costs: cold start 80.0 ms (baseline 9.00 ms)'
    """
    costs = costs_in_words(costs_of(metrics, baseline))
    return f"measured in {runtime}; another runtime may be slower" + (f". Costs: {costs}" if costs else "")


def costs_by_runtime(rows: Iterable[Json]) -> dict[str, dict[str, Json]]:
    """Returns the worst costs of a front's rows, by runtime."""
    worst: dict[str, dict[str, Json]] = {}
    for row in rows:
        if row["runtime"] is None:
            continue
        for name, cost in row["costs"].items():
            own = worst.setdefault(row["runtime"], {})
            if name not in own or cost["value"] > own[name]["value"]:
                own[name] = cost
    return worst


def usual_on(candidate: Mapping[str, Any], device: str) -> Mapping[str, Any]:
    """Returns the fp32 model's metrics on a device, to compare a candidate's with, from the candidate's document; empty
    if it was not measured there."""
    metrics: Json = candidate["baseline"]["metrics"]
    if candidate["simulated"] or device not in candidate.get("devices", [candidate["device"]]):
        return {}
    return figures_on(metrics, device) if DEVICES in metrics else metrics
