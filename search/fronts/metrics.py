"""The figures of several devices in one flat mapping.

In a job of several devices a candidate's metrics hold the first device's figures under their plain names (``speedup``)
and those of another under ``speedup@LABEL``; what is the same on all (``size_bytes``, quality) stands there once, under
its plain name. Two keys are added: ``devices``, the labels in the job's order, and where a device gave no figures
``failures``, which maps its label to ``{"state", "reason"}``. The metrics of a job of one device have neither key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluators.metrics import METRICS, base_of

Metrics = Mapping[str, Any]

DEVICES, FAILURES = "devices", "failures"

QUALITY_RUNTIME = "quality_runtime"
"""No figure: the runtime that quality was taken in, where the device's own could not be asked."""

QUALITY_FROM, QUALITY_CHECK = "quality_from", "quality_check"
"""No figures, of a remote device's candidates alone: whose outputs quality was taken of, ``host`` (this machine) or
``agent``; and what came of comparing one batch's outputs of the two, in words."""

FIGURES = frozenset(name for name, metric in METRICS.items() if metric.per_device)
"""Measured metrics that differ from device to device; any other metric is a figure of the file, or its quality."""

DEVICE_METRICS = FIGURES | {QUALITY_RUNTIME, QUALITY_FROM, QUALITY_CHECK}
"""All keys that differ from device to device."""


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if min(values) > 0 else math.nan


FOLDS: dict[str, Callable[[Sequence[float]], float]] = {"min": min, "max": max, "geomean": _geometric_mean}
"""How one figure is made of several devices': ``speedup@geomean``."""


def is_device_metric(name: str) -> bool:
    """Whether a metric, which may have dotted fields, differs from device to device."""
    return base_of(name) in DEVICE_METRICS


def joined(
    labels: Sequence[str], found: Mapping[str, Metrics], failures: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, Any]:
    """One mapping of the metrics ``found`` on each device; those that failed are left out of it.

    >>> joined(("a", "b"), {"a": {"cosine": 0.9, "speedup": 2.0}, "b": {"cosine": 0.9, "speedup": 3.0}})
    {'cosine': 0.9, 'speedup': 2.0, 'speedup@b': 3.0, 'devices': ['a', 'b']}
    """
    first = found.get(labels[0], {})
    metrics = dict(first)
    for label in labels[1:]:
        for name, value in found.get(label, {}).items():
            if name in DEVICE_METRICS or name not in first or first[name] != value:
                metrics[f"{name}@{label}"] = value
    metrics[DEVICES] = list(labels)
    if failures:
        metrics[FAILURES] = {label: dict(failure) for label, failure in failures.items()}
    return metrics


def updated(metrics: Metrics, label: str, found: Metrics) -> dict[str, Any]:
    """The metrics with what was ``found`` on a device in the place of all of its earlier figures: those of two moments
    never stand side by side."""
    labels = metrics.get(DEVICES, (label,))
    suffix = "" if label == labels[0] else f"@{label}"
    earlier = {f"{name}{suffix}" for name in FIGURES}
    left = {name: value for name, value in metrics.items() if name not in earlier}
    return {**left, **{f"{name}{suffix}": value for name, value in found.items()}}


def timed_figures(metrics: Metrics, label: str) -> dict[str, Any]:
    """A device's own figures, under their plain names."""
    own = figures_on(metrics, label) if DEVICES in metrics else metrics
    return {name: value for name, value in own.items() if name in FIGURES}


def failed(metrics: Metrics, label: str, state: str, reason: str) -> dict[str, Any]:
    """The metrics without a device's figures but with why it gives none; empty where no other gave any."""
    labels = metrics.get(DEVICES, (label,))
    failures = {**failures_of(metrics), label: {"state": state, "reason": reason}}
    if set(failures) == set(labels):
        return {}
    gone = {name if label == labels[0] else f"{name}@{label}" for name in DEVICE_METRICS}
    left = {name: value for name, value in metrics.items() if name not in gone}
    return {**left, FAILURES: {name: dict(failures[name]) for name in labels if name in failures}}


def failures_of(metrics: Metrics) -> Mapping[str, Mapping[str, str]]:
    """The devices that gave no figures, and why not: ``{"state", "reason"}`` by label."""
    found: Mapping[str, Mapping[str, str]] = metrics.get(FAILURES, {})
    return found


def figures_on(metrics: Metrics, label: str) -> dict[str, Any]:
    """The metrics as if the job had this device alone; empty for one that failed, or that the job does not have.

    >>> figures_on({"cosine": 0.9, "speedup": 2.0, "speedup@b": 3.0, "devices": ["a", "b"]}, "b")
    {'cosine': 0.9, 'speedup': 3.0}
    """
    labels = metrics.get(DEVICES, ())
    if label not in labels or label in failures_of(metrics):
        return {}
    plain = [name for name in metrics if name not in (DEVICES, FAILURES) and name.rpartition("@")[2] not in labels]
    own = [name.removesuffix(f"@{label}") for name in metrics if name.endswith(f"@{label}")]
    names = dict.fromkeys([*plain, *own])
    return {name: value for name in names if (value := figure_on(metrics, name, label)) is not None}


def figure_on(metrics: Metrics, name: str, label: str) -> Any:
    """What the metrics hold under an undotted name on a device; None where they hold nothing for it."""
    labels = metrics.get(DEVICES, ())
    if label not in labels or label in failures_of(metrics):
        return None
    own = metrics.get(f"{name}@{label}")
    if own is None and (label == labels[0] or name not in DEVICE_METRICS):
        return metrics.get(name)
    return own


ARCHITECTURE = "architecture"
"""The metric that says which sub-network of an elastic network a search in one shot has found, by decision."""


SIMULATED_FORMATS = "simulated_formats"
"""The metric that says that no runtime computes in all formats of a candidate."""
