"""A measurement: a record, never a bare number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from evaluators.statistics import PERCENTILE_SAMPLES, Floats, median_interval


@dataclass(frozen=True)
class Measurement:
    """A candidate timed against the baseline in alternating blocks, with every raw sample.

    ``runtime`` (``name`` or ``name:hint``) is what ran the candidate; the baseline ran in the profile's first one.
    ``baseline_ms`` and ``candidate_ms`` are the milliseconds of each block's runs, ``sessions`` the number of the
    session pair that each block ran in, ``ratio`` the paired speed-up (median over blocks of baseline median /
    candidate median) with its 95 % interval. ``verdict`` is ``stable`` when the interval became narrow enough in time,
    else ``unstable``; ``marks`` lists what a reader should know (``unpinned``).
    """

    profile_digest: str
    runtime: str
    runtime_version: str
    baseline_ms: tuple[tuple[float, ...], ...]
    candidate_ms: tuple[tuple[float, ...], ...]
    sessions: tuple[int, ...]
    ratio: float
    ratio_ci95: tuple[float, float]
    verdict: str
    marks: tuple[str, ...] = ()

    def metrics(self) -> dict[str, Any]:
        """``latency_ms`` and ``speedup`` as a candidate's metrics hold them."""
        return {
            "latency_ms": latency_figures(self.candidate_ms, self.sessions),
            "speedup": {"ratio": self.ratio, "ci95": list(self.ratio_ci95)},
        }

    def baseline_metrics(self) -> dict[str, Any]:
        """The baseline's ``latency_ms`` in the same measurement."""
        return {"latency_ms": latency_figures(self.baseline_ms, self.sessions)}

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measurement:
        """The inverse of :meth:`to_dict`, also after a trip through JSON."""
        rows = {key: tuple(tuple(row) for row in data[key]) for key in ("baseline_ms", "candidate_ms")}
        flat = {key: tuple(data[key]) for key in ("sessions", "ratio_ci95", "marks")}
        return cls(**{"runtime": "onnxruntime", **data, **rows, **flat})


def paired_ratio(
    baseline_ms: Sequence[Sequence[float]], candidate_ms: Sequence[Sequence[float]], sessions: Sequence[int]
) -> tuple[float, tuple[float, float]]:
    """Median over blocks of (baseline median / candidate median), with its 95 % interval over session pairs."""
    ratios = _medians(baseline_ms) / _medians(candidate_ms)
    return float(np.median(ratios)), median_interval(ratios, np.array(sessions))


def pooled(first: Measurement, second: Measurement) -> Measurement:
    """Two measurements of one pair on one device as one; the second's sessions are numbered after the first's.

    Their blocks may differ in length. Raises ``ValueError`` for two profiles: results of two devices are never mixed.
    """
    if first.profile_digest != second.profile_digest:
        raise ValueError("measurements of two profiles cannot be pooled")
    offset = max(first.sessions) + 1
    baseline_ms = first.baseline_ms + second.baseline_ms
    candidate_ms = first.candidate_ms + second.candidate_ms
    sessions = first.sessions + tuple(number + offset for number in second.sessions)
    ratio, interval = paired_ratio(baseline_ms, candidate_ms, sessions)
    return replace(
        second,
        baseline_ms=baseline_ms,
        candidate_ms=candidate_ms,
        sessions=sessions,
        ratio=ratio,
        ratio_ci95=interval,
        marks=tuple(dict.fromkeys(first.marks + second.marks)),
    )


def latency_figures(samples_ms: Sequence[Sequence[float]], sessions: Sequence[int]) -> dict[str, Any]:
    """Median with its interval, n, and the percentiles that n supports, from the milliseconds of each block's runs."""
    flat = np.concatenate([np.asarray(row, np.float64) for row in samples_ms])
    figures: dict[str, Any] = {
        "p50": float(np.median(flat)),
        "ci95": list(median_interval(_medians(samples_ms), np.array(sessions))),
        "n": int(flat.size),
    }
    for percent, needed in PERCENTILE_SAMPLES.items():
        if flat.size >= needed:
            figures[f"p{percent}"] = float(np.percentile(flat, percent))
    return figures


def _medians(rows: Sequence[Sequence[float]]) -> Floats:
    return np.array([np.median(row) for row in rows])
