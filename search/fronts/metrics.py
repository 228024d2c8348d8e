"""Metrics of a candidate on several devices, in one flat mapping.

With several devices, a candidate's metrics hold the first device's figures under their plain names (``speedup``) and
another's under ``speedup@LABEL``. A figure that is equal on all devices (``size_bytes``, quality) is there once, under
its plain name. Two keys are added: ``devices``, the labels in the job's order, and, if a device gave no figures,
``failures``, which maps its label to ``{"state", "reason"}``. With one device there is neither key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluators.metrics import METRICS, base_of

Metrics = Mapping[str, Any]

DEVICES, FAILURES = "devices", "failures"

QUALITY_RUNTIME = "quality_runtime"
"""Not a figure: the runtime in which quality was evaluated, if it could not be the device's own."""

QUALITY_FROM, QUALITY_CHECK = "quality_from", "quality_check"
"""Not figures, for remote devices only: whose outputs quality was computed from, ``host`` (this machine) or ``agent``;
and the result of comparing one batch's outputs of the two, as text."""

FIGURES = frozenset(name for name, metric in METRICS.items() if metric.per_device)
"""Measured metrics that differ from device to device; any other metric is a figure of the file, or its quality."""

DEVICE_METRICS = FIGURES | {QUALITY_RUNTIME, QUALITY_FROM, QUALITY_CHECK}
"""All keys that differ from device to device."""


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if min(values) > 0 else math.nan


FOLDS: dict[str, Callable[[Sequence[float]], float]] = {"min": min, "max": max, "geomean": _geometric_mean}
"""Functions that fold the figures of several devices into one: ``speedup@geomean``."""


def is_device_metric(name: str) -> bool:
    """Returns whether a metric, which may have dotted fields, differs from device to device."""
    return base_of(name) in DEVICE_METRICS


def merge_devices(
    labels: Sequence[str], by_device: Mapping[str, Metrics], failures: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, Any]:
    """Merges the metrics of each device into one mapping; ``by_device`` lacks the devices that failed.

    >>> merge_devices(("a", "b"), {"a": {"cosine": 0.9, "speedup": 2.0}, "b": {"cosine": 0.9, "speedup": 3.0}})
    {'cosine': 0.9, 'speedup': 2.0, 'speedup@b': 3.0, 'devices': ['a', 'b']}
    """
    first = by_device.get(labels[0], {})
    metrics = dict(first)
    for label in labels[1:]:
        for name, value in by_device.get(label, {}).items():
            if name in DEVICE_METRICS or name not in first or first[name] != value:
                metrics[f"{name}@{label}"] = value
    metrics[DEVICES] = list(labels)
    if failures:
        metrics[FAILURES] = {label: dict(failure) for label, failure in failures.items()}
    return metrics


def replace_device(metrics: Metrics, label: str, figures: Metrics) -> dict[str, Any]:
    """Replaces all figures of a device by new ones, so that figures of two measurements are never mixed."""
    labels = metrics.get(DEVICES, (label,))
    suffix = "" if label == labels[0] else f"@{label}"
    earlier = {f"{name}{suffix}" for name in FIGURES}
    left = {name: value for name, value in metrics.items() if name not in earlier}
    return {**left, **{f"{name}{suffix}": value for name, value in figures.items()}}


def with_unit_speedup(metrics: Metrics) -> dict[str, Any]:
    """Returns the fp32 model's metrics with a speed-up of 1, by definition, on each device that has one.

    >>> with_unit_speedup({"speedup@b": {"ratio": 1.01, "ci95": [0.99, 1.03]}})
    {'speedup@b': {'ratio': 1.0, 'ci95': [1.0, 1.0]}}
    """
    names = [name for name in metrics if name.partition("@")[0] == "speedup"]
    return {**metrics, **{name: {"ratio": 1.0, "ci95": [1.0, 1.0]} for name in names}}


def device_figures(metrics: Metrics, label: str) -> dict[str, Any]:
    """Returns the measured figures of a device, under their plain names."""
    own = figures_on(metrics, label) if DEVICES in metrics else metrics
    return {name: value for name, value in own.items() if name in FIGURES}


def drop_device(metrics: Metrics, label: str, state: str, reason: str) -> dict[str, Any]:
    """Replaces a device's figures by the failure why it gives none; empty if no other device gave any."""
    labels = metrics.get(DEVICES, (label,))
    failures = {**failures_of(metrics), label: {"state": state, "reason": reason}}
    if set(failures) == set(labels):
        return {}
    gone = {name if label == labels[0] else f"{name}@{label}" for name in DEVICE_METRICS}
    left = {name: value for name, value in metrics.items() if name not in gone}
    return {**left, FAILURES: {name: dict(failures[name]) for name in labels if name in failures}}


def failures_of(metrics: Metrics) -> Mapping[str, Mapping[str, str]]:
    """Returns the devices that gave no figures, with the failure: ``{"state", "reason"}`` by label."""
    failures: Mapping[str, Mapping[str, str]] = metrics.get(FAILURES, {})
    return failures


def figures_on(metrics: Metrics, label: str) -> dict[str, Any]:
    """Returns the metrics as if the job had this device only; empty if it failed or is not a device of the job.

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
    """Returns the value of an undotted metric name on a device; None if there is none."""
    labels = metrics.get(DEVICES, ())
    if label not in labels or label in failures_of(metrics):
        return None
    own = metrics.get(f"{name}@{label}")
    if own is None and (label == labels[0] or name not in DEVICE_METRICS):
        return metrics.get(name)
    return own


ARCHITECTURE = "architecture"
"""Metric: the sub-network of an elastic network that a one-shot search has chosen, by decision."""

SIMULATED_FORMATS = "simulated_formats"
"""Metric: present if no runtime computes in all number formats of a candidate."""

FILTER = "filter"
"""Not a figure: what the job's filters made of the candidate before its training."""
