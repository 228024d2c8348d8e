"""Comparable absolute figures: a candidate's ratio to the fp32 model, times the latter's figure at the job's start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

RAW, ENERGY_RAW = "raw", "energy_mj_raw"


@dataclass(frozen=True)
class Reference:
    """The fp32 model's figures on a device, measured once at the job's start; None if not measured.

    A machine's speed varies over hours, so milliseconds of two moments do not compare, but ratios to the fp32 model
    measured in turn do. Reported figures are therefore this reference times the ratio; the raw figures are kept too.
    """

    latency_ms: float | None = None
    """Median."""
    energy_mj: float | None = None
    per_s: float | None = None
    """Throughput, in samples per second."""

    @classmethod
    def of(cls, metrics: Mapping[str, Any]) -> Reference:
        """From the fp32 model's metrics on the device."""
        return cls(
            metrics.get("latency_ms", {}).get("p50"),
            metrics.get("energy_mj"),
            metrics.get("throughput", {}).get("per_s"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return asdict(self)

    def pair(self, metrics: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces a candidate's absolute figures by the reference times its ratio to the fp32 model.

        Affects ``latency_ms`` (percentiles in proportion; raw under ``raw``), ``energy_mj`` (raw: ``energy_mj_raw``)
        and ``throughput.per_s`` (raw: ``raw_per_s``). ``baseline`` holds the fp32 model's ``energy_mj`` in the same
        measurement.
        """
        paired = dict(metrics)
        if self.latency_ms and "latency_ms" in metrics and "speedup" in metrics:
            paired["latency_ms"] = self._latency(metrics["latency_ms"], metrics["speedup"])
        if self.energy_mj and metrics.get("energy_mj") is not None and baseline.get("energy_mj"):
            paired["energy_mj"] = self.energy_mj * metrics["energy_mj"] / baseline["energy_mj"]
            paired[ENERGY_RAW] = metrics["energy_mj"]
        if self.per_s and "throughput" in metrics:
            paired["throughput"] = self._throughput(metrics["throughput"])
        return paired

    def _latency(self, raw: Mapping[str, Any], speedup: Mapping[str, Any]) -> dict[str, Any]:
        fp32_ms = self.latency_ms or 0.0
        p50, (low, high) = fp32_ms / speedup["ratio"], speedup["ci95"]
        scaled = {name: value * p50 / raw["p50"] for name, value in raw.items() if name[:1] == "p" and name != "p50"}
        return {"p50": p50, "ci95": [fp32_ms / high, fp32_ms / low], "n": raw["n"], **scaled, RAW: dict(raw)}

    def _throughput(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        per_s = self.per_s or 0.0
        paired = {"per_s": per_s * raw["ratio"], "per_s_ci95": [per_s * end for end in raw["ci95"]]}
        return {**raw, **paired, "raw_per_s": raw["per_s"]}
