"""Absolute figures that compare: a candidate's share of the fp32 model, times what the fp32 model took when the job
began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

REFERENCES, RAW, ENERGY_RAW = "references", "raw", "energy_mj_raw"


@dataclass(frozen=True)
class Reference:
    """The fp32 model's own figures on a device, measured once at the job's start; None where it has none.

    Milliseconds of two hours do not compare, since a machine is slower in one than in another, but the ratio to the
    fp32 model measured in turn does. What is published is therefore this reference and that ratio; what the clock said
    stands beside it.
    """

    latency_ms: float | None = None
    energy_mj: float | None = None
    per_s: float | None = None

    @classmethod
    def of(cls, metrics: Mapping[str, Any]) -> Reference:
        """From the fp32 model's metrics on the device."""
        return cls(
            metrics.get("latency_ms", {}).get("p50"),
            metrics.get("energy_mj"),
            metrics.get("throughput", {}).get("per_s"),
        )

    @classmethod
    def in_facts(cls, facts: Mapping[str, Any], label: str) -> Reference:
        """That of a device in a job's facts. Jobs prepared by earlier versions have none: their figures stay raw."""
        return cls(**facts.get(REFERENCES, {}).get(label, {}))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)

    def paired(self, metrics: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
        """The ``metrics`` of a candidate with its paired figures: ``latency_ms`` (its percentiles in proportion, what
        the clock said under ``raw``), ``energy_mj`` (``energy_mj_raw``) and ``throughput.per_s`` (``raw_per_s``).

        ``baseline`` holds the fp32 model's ``energy_mj`` in the same measurement.
        """
        found = dict(metrics)
        if self.latency_ms and "latency_ms" in metrics and "speedup" in metrics:
            found["latency_ms"] = self._latency(metrics["latency_ms"], metrics["speedup"])
        if self.energy_mj and metrics.get("energy_mj") is not None and baseline.get("energy_mj"):
            found["energy_mj"] = self.energy_mj * metrics["energy_mj"] / baseline["energy_mj"]
            found[ENERGY_RAW] = metrics["energy_mj"]
        if self.per_s and "throughput" in metrics:
            found["throughput"] = self._throughput(metrics["throughput"])
        return found

    def _latency(self, raw: Mapping[str, Any], speedup: Mapping[str, Any]) -> dict[str, Any]:
        fp32_ms = self.latency_ms or 0.0
        p50, (low, high) = fp32_ms / speedup["ratio"], speedup["ci95"]
        scaled = {name: value * p50 / raw["p50"] for name, value in raw.items() if name[:1] == "p" and name != "p50"}
        return {"p50": p50, "ci95": [fp32_ms / high, fp32_ms / low], "n": raw["n"], **scaled, RAW: dict(raw)}

    def _throughput(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        per_s = self.per_s or 0.0
        paired = {"per_s": per_s * raw["ratio"], "per_s_ci95": [per_s * end for end in raw["ci95"]]}
        return {**raw, **paired, "raw_per_s": raw["per_s"]}
