"""One candidate's way: build, quality from the exported file, latency and memory on the device."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluators.device import Device, open_device
from evaluators.latency import Protocol
from evaluators.layers import LayerGroup
from evaluators.measurement import Measurement
from evaluators.modelled import modelled_metrics
from evaluators.runtimes.base import Array
from evaluators.sandbox import Sandbox
from hwprofiles import Precision
from hwprofiles.errors import CandidateError, ParetuneError
from search import workspace
from search.states import TrialState
from search.workspace import WorkOrder


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate, as the store keeps it."""

    state: TrialState
    reason: str | None
    metrics: dict[str, Any]
    artifact_sha256: str | None
    measurement: dict[str, Any] | None
    wall_s: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """The inverse of :meth:`to_dict`."""
        return cls(**{**data, "state": TrialState(data["state"])})


class TrialRunner:
    """Works on one candidate at a time, in sandboxes that outlive it. Owned by one process, closed by its owner."""

    def __init__(self, order: WorkOrder, facts: Mapping[str, Any], folder: Path) -> None:
        self._order, self._facts, self._folder = order, facts, folder
        self._job = order.job
        self._limits = self._job.limits
        self._builder = Sandbox(memory_bytes=self._limits.memory_bytes, log=folder / "builder.log")
        self._device: Device | None = None
        self._sample: dict[str, Array] | None = None

    def run(self, decisions: Mapping[str, str], digest: str) -> Outcome:
        """Never raises for what is the candidate's own fault; that becomes its state."""
        start = time.monotonic()
        if self._order.profile.simulated:
            metrics = modelled_metrics(groups_of(self._facts), decisions, digest)
            return Outcome(TrialState.DONE, None, metrics, None, None, round(time.monotonic() - start, 3))
        sha256 = None
        try:
            built = self.build(decisions, digest)
            sha256 = built.sha256
            quality = self._builder.call(
                workspace.quality,
                self._order,
                built.path,
                "validation",
                stage="measuring",
                limit_s=self._limits.measuring_s,
            )
            metrics = {
                **quality.metrics,
                "size_bytes": built.size_bytes,
                "intervals": {name: list(interval) for name, interval in quality.intervals.items()},
            }
            measured = self.measure(built.path)
            metrics.update(measured.metrics())
            if self._job.wants("peak_memory_bytes"):
                metrics["peak_memory_bytes"] = self.peak_memory_bytes(built.path)
        except ParetuneError as error:
            state = TrialState(error.state) if isinstance(error, CandidateError) else TrialState.BUILD_FAILED
            return Outcome(state, error.message, {}, sha256, None, round(time.monotonic() - start, 3))
        return Outcome(TrialState.DONE, None, metrics, sha256, measured.to_dict(), round(time.monotonic() - start, 3))

    def build(self, decisions: Mapping[str, str], digest: str) -> workspace.Built:
        """The candidate's file, in the job's folder under its digest."""
        path = self.path(digest)
        return self._builder.call(
            workspace.build, self._order, decisions, path, stage="building", limit_s=self._limits.building_s
        )

    def path(self, digest: str) -> Path:
        """Where a candidate's file lies."""
        return self._folder / f"{digest}.onnx"

    def measure(self, path: Path) -> Measurement:
        """Paired latency against the fp32 model."""
        if self._device is None:
            self._device = open_device(self._order.profile)
        return self._device.measure(
            self._baseline, path, self._latency_sample(), protocol=Protocol(), limit_s=self._limits.measuring_s
        )

    def peak_memory_bytes(self, path: Path) -> int:
        """Peak memory of a fresh process that holds only this model."""
        if self._device is None:
            self._device = open_device(self._order.profile)
        return self._device.peak_memory_bytes(path, self._latency_sample(), limit_s=self._limits.measuring_s)

    def close(self) -> None:
        """Ends the sandboxes."""
        self._builder.close()
        if self._device is not None:
            self._device.close()

    @property
    def _baseline(self) -> Path:
        return Path(self._facts["model_path"])

    def _latency_sample(self) -> dict[str, Array]:
        if self._sample is None:
            self._sample = self._builder.call(
                workspace.sample, self._order, stage="building", limit_s=self._limits.building_s
            )
        return self._sample


def groups_of(facts: Mapping[str, Any]) -> tuple[LayerGroup, ...]:
    """The layer groups as a job's facts hold them."""
    return tuple(
        LayerGroup(
            **{**group, "nodes": tuple(group["nodes"]), "precisions": tuple(map(Precision, group["precisions"]))}
        )
        for group in facts["groups"]
    )
