"""Records of paired measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from evaluators.health import APART_S, Health, widen
from evaluators.measuring.pairs import log_ratios, ratio_interval, shift
from evaluators.measuring.statistics import PERCENTILE_SAMPLES, Floats, median_interval


@dataclass(frozen=True)
class Measurement:
    """A candidate timed against the baseline in alternating blocks, with all raw samples."""

    profile_digest: str
    runtime: str
    """The candidate's runtime (``name`` or ``name:hint``); the baseline ran in the profile's first runtime."""
    runtime_version: str
    baseline_ms: tuple[tuple[float, ...], ...]
    """Milliseconds of each run, by block."""
    candidate_ms: tuple[tuple[float, ...], ...]
    """Milliseconds of each run, by block."""
    sessions: tuple[int, ...]
    """The number of each block's session pair."""
    ratio: float
    """The paired speed-up: geometric mean over session pairs, see :mod:`evaluators.measuring.pairs`."""
    ratio_ci95: tuple[float, float]
    """95 % interval of ``ratio``, including variation between measurements (``repeat_share``)."""
    verdict: str
    """``stable`` if ``moment_ci95`` became narrow enough in time, else ``unstable``."""
    marks: tuple[str, ...] = ()
    """Remarks for readers, such as ``unpinned``."""
    repeat_share: float = 0.0
    """Standard deviation of the pair's ratio between measurements at different times, as a share."""
    moments: int = 1
    """Number of different times at which this record was measured."""
    health: Health | None = None
    """The machine's health meanwhile; None if it was not watched."""
    quarantined: tuple[dict[str, Any], ...] = ()
    """Attempts that do not count because the machine was not healthy: ``verdict``, ``reasons``, ``ratio`` and ``ci95``
    (None if they failed)."""
    energy_mj: dict[str, Any] | None = None
    """Millijoules of one inference of ``baseline`` and ``candidate``, and their ``source``; None if not counted."""
    moment_ci95: tuple[float, float] | None = None
    """95 % interval of ``ratio`` from the variation within this measurement alone."""
    order: str = ""
    """The model timed first in each block, ``b`` or ``c``; empty in records of earlier versions."""
    taken_at: float = 0.0
    """End of the measurement in seconds since 1970 by the device's clock; 0 if unknown."""

    @property
    def healthy(self) -> bool:
        """Whether the machine was watched and healthy."""
        return self.health is not None and self.health.healthy

    @property
    def shift(self) -> float:
        """By which share the ratio changed lastingly meanwhile, see :func:`evaluators.measuring.pairs.shift`."""
        return shift(log_ratios(self.baseline_ms, self.candidate_ms, self.sessions))

    def metrics(self) -> dict[str, Any]:
        """Returns the candidate's metrics ``latency_ms``, ``speedup``, and ``energy_mj`` if known."""
        return {
            "latency_ms": latency_figures(self.candidate_ms, self.sessions),
            "speedup": {"ratio": self.ratio, "ci95": list(self.ratio_ci95)},
            **self._energy("candidate"),
        }

    def baseline_metrics(self) -> dict[str, Any]:
        """Returns the baseline's metrics ``latency_ms``, and ``energy_mj`` if known."""
        return {"latency_ms": latency_figures(self.baseline_ms, self.sessions), **self._energy("baseline")}

    def _energy(self, model: str) -> dict[str, float]:
        return {} if self.energy_mj is None else {"energy_mj": self.energy_mj[model]}

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return {**asdict(self), "health": None if self.health is None else self.health.to_dict()}

    def summary(self) -> dict[str, Any]:
        """:meth:`to_dict` without the raw samples."""
        raw = ("baseline_ms", "candidate_ms", "sessions")
        return {key: value for key, value in self.to_dict().items() if key not in raw}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measurement:
        """Returns the inverse of :meth:`to_dict`; also accepts the lists of JSON, and records of earlier versions."""
        rows = {key: tuple(tuple(row) for row in data[key]) for key in ("baseline_ms", "candidate_ms")}
        flat = {key: tuple(data.get(key, ())) for key in ("sessions", "ratio_ci95", "marks", "quarantined")}
        health = data.get("health")
        if (moment := data.get("moment_ci95")) is not None:
            flat["moment_ci95"] = (float(moment[0]), float(moment[1]))
        values = {"runtime": "onnxruntime", **data, "health": None if health is None else Health.from_dict(health)}
        if (energy := data.get("energy_mj")) is not None:
            values["energy_mj"] = {**energy, **{name: float(energy[name]) for name in ("baseline", "candidate")}}
        return cls(**{**values, **rows, **flat})


def quarantine_entry(health: Health | None, ratio: float | None, ci95: tuple[float, float] | None) -> dict[str, Any]:
    """Returns an entry of :attr:`Measurement.quarantined`."""
    return {
        "verdict": "unknown" if health is None else health.verdict,
        "reasons": [] if health is None else list(health.reasons),
        "ratio": ratio,
        "ci95": None if ci95 is None else list(ci95),
    }


def pair_ratio(
    baseline_ms: Sequence[Sequence[float]], candidate_ms: Sequence[Sequence[float]], sessions: Sequence[int]
) -> tuple[float, tuple[float, float]]:
    """Returns the speed-up: geometric mean over session pairs of baseline time / candidate time, with its 95 %
    interval."""
    return ratio_interval(log_ratios(baseline_ms, candidate_ms, sessions))


def pool_measurements(first: Measurement, second: Measurement) -> Measurement:
    """Pools the samples of two measurements of the same pair; the second's sessions are numbered after the first's.

    Taken within :data:`APART_S` of one another, they add samples but do not count as two different times. Their blocks
    may differ in length. Raises ``ValueError`` for two profiles, and for a healthy and an unhealthy measurement: see
    :func:`combine_measurements`.
    """
    if first.profile_digest != second.profile_digest:
        raise ValueError("measurements of two profiles cannot be pooled")
    if first.healthy != second.healthy:
        raise ValueError("a healthy measurement cannot be pooled with an unhealthy one")
    offset = max(first.sessions) + 1
    baseline_ms = first.baseline_ms + second.baseline_ms
    candidate_ms = first.candidate_ms + second.candidate_ms
    sessions = first.sessions + tuple(number + offset for number in second.sessions)
    ratio, interval = pair_ratio(baseline_ms, candidate_ms, sessions)
    share, apart = max(first.repeat_share, second.repeat_share), _apart(first, second)
    moments = first.moments + second.moments if apart else max(first.moments, second.moments)
    return replace(
        second,
        baseline_ms=baseline_ms,
        candidate_ms=candidate_ms,
        sessions=sessions,
        ratio=ratio,
        ratio_ci95=widen(ratio, interval, share / math.sqrt(moments)),
        moment_ci95=interval,
        order=first.order + second.order,
        repeat_share=share,
        moments=moments,
        marks=tuple(dict.fromkeys(first.marks + second.marks)),
        health=second.health and (first.health.merge(second.health) if first.health else second.health),
        quarantined=first.quarantined + second.quarantined,
        taken_at=second.taken_at if apart else first.taken_at,
    )


def _apart(first: Measurement, second: Measurement) -> bool:
    return 0 < first.taken_at <= second.taken_at - APART_S


def combine_measurements(first: Measurement, second: Measurement) -> Measurement:
    """Combines two measurements of the same pair.

    Pools them if both or neither are healthy; else returns the healthy one with the other in its ``quarantined`` list.
    """
    if first.healthy == second.healthy:
        return pool_measurements(first, second)
    good, bad = (first, second) if first.healthy else (second, first)
    entry = quarantine_entry(bad.health, bad.ratio, bad.ratio_ci95)
    return replace(good, quarantined=(*first.quarantined, *second.quarantined, entry))


def latency_figures(samples_ms: Sequence[Sequence[float]], sessions: Sequence[int]) -> dict[str, Any]:
    """Median with its interval, n, and the percentiles that n supports, from each block's runs in ms."""
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
