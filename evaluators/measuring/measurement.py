"""A measurement: a record, never a bare number."""

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
    """A candidate timed against the baseline in alternating blocks, with every raw sample.

    ``runtime`` (``name`` or ``name:hint``) is what ran the candidate; the baseline ran in the profile's first one.
    ``baseline_ms`` and ``candidate_ms`` are the milliseconds of each block's runs, ``sessions`` the number of the
    session pair that each block ran in, ``order`` a letter a block for the model that was timed first in it (``b`` or
    ``c``; empty in records of earlier versions), ``ratio`` the paired speed-up (geometric mean over session pairs, see
    :mod:`evaluators.measuring.pairs`) with its 95 % interval, and ``moment_ci95`` that interval by what varied
    meanwhile alone. ``repeat_share`` is by how much the pair's ratio varies from one moment of the machine to another
    (a standard deviation, as a share), ``moments`` at how many this one was measured; ``ratio_ci95`` holds both that
    and what varied meanwhile. ``verdict`` is ``stable`` when the latter became small enough in time, else ``unstable``;
    ``marks`` lists what a reader should know (``unpinned``).

    ``health`` says whether the machine was fit to be measured on meanwhile, None where nobody looked. ``quarantined``
    lists the attempts that were set aside because it was not: what they would have said (``ratio`` and ``ci95``, None
    where they came to none), ``verdict`` and ``reasons``. ``energy_mj`` holds what one inference of ``baseline`` and
    ``candidate`` took, and the ``source`` of the figures; None where the device does not count energy. ``taken_at`` is
    when it ended, in seconds since 1970 by the device's clock (0: not known).
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
    repeat_share: float = 0.0
    moments: int = 1
    health: Health | None = None
    quarantined: tuple[dict[str, Any], ...] = ()
    energy_mj: dict[str, Any] | None = None
    moment_ci95: tuple[float, float] | None = None
    order: str = ""
    taken_at: float = 0.0

    @property
    def healthy(self) -> bool:
        """Whether the machine is known to have been fit to be measured on."""
        return self.health is not None and self.health.healthy

    @property
    def shift(self) -> float:
        """By how much the ratio moved for good while it was measured, see :func:`evaluators.measuring.pairs.shift`."""
        return shift(log_ratios(self.baseline_ms, self.candidate_ms, self.sessions))

    def metrics(self) -> dict[str, Any]:
        """``latency_ms`` and ``speedup`` as a candidate's metrics hold them, and ``energy_mj`` where it is known."""
        return {
            "latency_ms": latency_figures(self.candidate_ms, self.sessions),
            "speedup": {"ratio": self.ratio, "ci95": list(self.ratio_ci95)},
            **self._energy("candidate"),
        }

    def baseline_metrics(self) -> dict[str, Any]:
        """The baseline's ``latency_ms`` in the same measurement, and its ``energy_mj`` where it is known."""
        return {"latency_ms": latency_figures(self.baseline_ms, self.sessions), **self._energy("baseline")}

    def _energy(self, model: str) -> dict[str, float]:
        return {} if self.energy_mj is None else {"energy_mj": self.energy_mj[model]}

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {**asdict(self), "health": None if self.health is None else self.health.to_dict()}

    def summary(self) -> dict[str, Any]:
        """:meth:`to_dict` without the raw samples."""
        raw = ("baseline_ms", "candidate_ms", "sessions")
        return {key: value for key, value in self.to_dict().items() if key not in raw}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measurement:
        """The inverse of :meth:`to_dict`, also after a trip through JSON."""
        rows = {key: tuple(tuple(row) for row in data[key]) for key in ("baseline_ms", "candidate_ms")}
        flat = {key: tuple(data.get(key, ())) for key in ("sessions", "ratio_ci95", "marks", "quarantined")}
        health = data.get("health")
        if (moment := data.get("moment_ci95")) is not None:
            flat["moment_ci95"] = (float(moment[0]), float(moment[1]))
        known = {"runtime": "onnxruntime", **data, "health": None if health is None else Health.from_dict(health)}
        if (energy := data.get("energy_mj")) is not None:
            known["energy_mj"] = {**energy, **{name: float(energy[name]) for name in ("baseline", "candidate")}}
        return cls(**{**known, **rows, **flat})


def quarantine_entry(health: Health | None, ratio: float | None, ci95: tuple[float, float] | None) -> dict[str, Any]:
    """An attempt that was set aside, as a measurement lists it."""
    return {
        "verdict": "unknown" if health is None else health.verdict,
        "reasons": [] if health is None else list(health.reasons),
        "ratio": ratio,
        "ci95": None if ci95 is None else list(ci95),
    }


def pair_ratio(
    baseline_ms: Sequence[Sequence[float]], candidate_ms: Sequence[Sequence[float]], sessions: Sequence[int]
) -> tuple[float, tuple[float, float]]:
    """The geometric mean over session pairs of (baseline time / candidate time), with its 95 % interval."""
    return ratio_interval(log_ratios(baseline_ms, candidate_ms, sessions))


def pool_measurements(first: Measurement, second: Measurement) -> Measurement:
    """Two measurements of one pair on one device as one; the second's sessions are numbered after the first's.

    Taken within :data:`APART_S` of one another they are of one moment: more samples then, but no other moment's word.
    Their blocks may differ in length. Raises ``ValueError`` for two profiles, since results of two devices are never
    mixed, and for a healthy and an unhealthy one: see :func:`combine_measurements`.
    """
    if first.profile_digest != second.profile_digest:
        raise ValueError("measurements of two profiles cannot be pooled")
    if first.healthy != second.healthy:
        raise ValueError("a healthy measurement cannot be pooled with one that is not")
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
    """Two measurements of one pair on one device: pooled where both are healthy or neither is, else the healthy one
    alone, with the other among its ``quarantined``."""
    if first.healthy == second.healthy:
        return pool_measurements(first, second)
    good, bad = (first, second) if first.healthy else (second, first)
    aside = quarantine_entry(bad.health, bad.ratio, bad.ratio_ci95)
    return replace(good, quarantined=(*first.quarantined, *second.quarantined, aside))


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
