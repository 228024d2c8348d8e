"""One candidate's way: build, quality from the exported file, latency and memory on the device."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluators.base import Evaluator
from evaluators.device import Device, open_device
from evaluators.layers import LayerGroup
from evaluators.measurement import Measurement
from evaluators.modelled import modelled_metrics
from evaluators.on_device import LatencyEvaluator, MemoryEvaluator, SizeEvaluator
from evaluators.runtimes.base import Array
from evaluators.sandbox import Sandbox
from hwprofiles import Precision
from hwprofiles.errors import CandidateError, ParetuneError
from search import workspace
from search.candidate import RUNTIME
from search.quality import QualityEvaluator
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

    def run(self, decisions: Mapping[str, str], digest: str) -> Outcome:
        """Never raises for what is the candidate's own fault; that becomes its state."""
        start = time.monotonic()
        if self._order.profile.simulated:
            modelled = modelled_metrics(groups_of(self._facts), decisions, digest)
            return Outcome(TrialState.DONE, None, modelled, None, None, round(time.monotonic() - start, 3))
        sha256: str | None = None
        measurement: dict[str, Any] | None = None
        metrics: dict[str, Any] = {}
        try:
            built = self.build(decisions, digest)
            sha256 = built.sha256
            for evaluator in self._evaluators:
                found = evaluator.evaluate(built.path, decisions.get(RUNTIME))
                metrics.update(found.metrics)
                measurement = found.measurement.to_dict() if found.measurement else measurement
        except ParetuneError as error:
            state = TrialState(error.state) if isinstance(error, CandidateError) else TrialState.BUILD_FAILED
            return Outcome(state, error.message, {}, sha256, None, round(time.monotonic() - start, 3))
        return Outcome(TrialState.DONE, None, metrics, sha256, measurement, round(time.monotonic() - start, 3))

    def build(self, decisions: Mapping[str, str], digest: str) -> workspace.Built:
        """The candidate's file, in the job's folder under its digest."""
        path = self.path(digest)
        return self._builder.call(
            workspace.build, self._order, decisions, path, stage="building", limit_s=self._limits.building_s
        )

    def path(self, digest: str) -> Path:
        """Where a candidate's file lies."""
        return self._folder / f"{digest}.onnx"

    def measure(self, path: Path, decisions: Mapping[str, str]) -> Measurement:
        """Paired latency against the fp32 model, with its raw samples."""
        latency = self._latency
        return latency.device.measure(
            latency.baseline, path, latency.sample, protocol=latency.protocol, limit_s=latency.limit_s,
            runtime=decisions.get(RUNTIME),
        )  # fmt: skip

    def peak_memory_bytes(self, path: Path, decisions: Mapping[str, str]) -> int:
        """Peak memory of a fresh process that holds only this model."""
        found: int = self._memory.evaluate(path, decisions.get(RUNTIME)).metrics["peak_memory_bytes"]
        return found

    def close(self) -> None:
        """Ends the sandboxes."""
        self._builder.close()
        if "_device" in self.__dict__:
            self._device.close()

    @cached_property
    def _evaluators(self) -> list[Evaluator]:
        """The cheapest way to a failure first; memory in a search only where the job asks for it."""
        quality = QualityEvaluator(self._builder, self._order, self._limits.measuring_s)
        memory = [self._memory] if self._job.wants("peak_memory_bytes") else []
        return [SizeEvaluator(), quality, self._latency, *memory]

    @cached_property
    def _device(self) -> Device:
        return open_device(self._order.profile)

    @cached_property
    def _latency(self) -> LatencyEvaluator:
        baseline = Path(self._facts["model_path"])
        return LatencyEvaluator(self._device, baseline, self._sample, self._limits.measuring_s)

    @cached_property
    def _memory(self) -> MemoryEvaluator:
        return MemoryEvaluator(self._device, self._sample, self._limits.measuring_s)

    @cached_property
    def _sample(self) -> dict[str, Array]:
        return self._builder.call(workspace.sample, self._order, stage="building", limit_s=self._limits.building_s)


def groups_of(facts: Mapping[str, Any]) -> tuple[LayerGroup, ...]:
    """The layer groups as a job's facts hold them."""
    return tuple(
        LayerGroup(
            **{**group, "nodes": tuple(group["nodes"]), "precisions": tuple(map(Precision, group["precisions"]))}
        )
        for group in facts["groups"]
    )
