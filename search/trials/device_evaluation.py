"""One device of a job as its candidates meet it: their quality, latency and memory there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from evaluators.devices.device import Device
from evaluators.devices.evaluator import Evaluator
from evaluators.devices.evaluators import LatencyEvaluator, MemoryEvaluator, StartEvaluator, ThroughputEvaluator
from evaluators.measuring.measurement import Measurement
from evaluators.processes.sandbox import Sandbox
from evaluators.runtimes import built_twice
from evaluators.tensors import Array
from hwprofiles import Profile
from hwprofiles.errors import BuildFailed, InvalidInput, ParetuneError, StageTimeout
from search.budget.allowance import Allowance
from search.fronts.reference import Reference
from search.job.devices import JobDevice
from search.space.candidate import runtime_decision
from search.trials import sandboxed
from search.trials.context import JobContext
from search.trials.quality import QualityEvaluator
from search.trials.remote_quality import RemoteQuality

Conditions = tuple[str, int]
"""What a file's quality depends on besides the file: the runtime and the batch."""


Known = dict[Conditions, dict[str, Any] | ParetuneError]
"""The quality of a file under the conditions that were tried, or why it has none."""


@dataclass(frozen=True)
class DeviceResult:
    """What a device said of a candidate."""

    metrics: dict[str, Any]
    measurement: dict[str, Any] | None


class DeviceEvaluator:
    """Evaluates a job's candidates on one of its devices, within an ``allowance``. Used by one thread, closed by its
    owner; the ``builder`` is the owner's. ``open_device`` is called on first use."""

    def __init__(
        self,
        device: JobDevice,
        order: JobContext,
        facts: Mapping[str, Any],
        builder: Sandbox,
        open_device: Callable[[Profile], Device],
        allowance: Allowance | None = None,
    ) -> None:
        self.label, self.profile = device.label, device.profile
        self._order, self._facts, self._builder, self._open = order, facts, builder, open_device
        self._job = order.job
        self._limits, self.allowance = self._job.limits, allowance or Allowance(protocol=self._job.protocol)
        self._name = None if device == order.devices[0] else device.label
        self._reference = Reference.in_facts(facts, device.label)

    def runtime(self, decisions: Mapping[str, str]) -> str | None:
        """The runtime that a candidate decides for here; None for the device's first."""
        return decisions.get(runtime_decision(self._name))

    def conditions(self, decisions: Mapping[str, str]) -> Conditions:
        """What decides a file's quality here: candidates are as true on every device of equal conditions."""
        runtime = self.runtime(decisions) or self.profile.runtime
        # A remote device's is compared with what its agent answers.
        return f"{runtime} on {self.label}" if self.profile.agent else runtime, self.profile.batch

    def evaluate(self, path: Path, decisions: Mapping[str, str], known: Known, *, timed: bool = True) -> DeviceResult:
        """All metrics of a file here, but its size, and unless it is ``timed`` its quality alone; quality, or why there
        is none, is taken from ``known`` or added.

        The cheapest way to a failure comes first; memory, starts and throughput are measured in a search only where
        the job asks for them.
        """
        conditions, runtime = self.conditions(decisions), self.runtime(decisions)
        if conditions not in known:
            try:
                known[conditions] = self._quality.evaluate(path, runtime).metrics
            except ParetuneError as error:
                known[conditions] = error
        quality = known[conditions]
        if isinstance(quality, ParetuneError):
            raise quality
        metrics, measurement = dict(quality), None
        for evaluator in self._evaluators if timed else ():
            try:
                found = evaluator.evaluate(path, runtime)
            except InvalidInput as error:  # the file was built from what is valid
                raise BuildFailed(error.message, error.hint) from None
            metrics.update(self._paired(found.metrics, found.measurement))
            measurement = found.measurement.to_dict() if found.measurement else measurement
        return DeviceResult(metrics, measurement)

    def measure_again(self, path: Path, decisions: Mapping[str, str]) -> DeviceResult:
        """What stands in the final front: latency in fresh sessions, and what is beside it, as far as there is time.
        Raises :class:`hwprofiles.errors.NotAsked` where there is none for the latency."""
        self.allowance.ends.check()
        try:
            measured = self.measure(path, decisions)
        except StageTimeout:
            self.allowance.ends.check()  # it was not the model that took too long
            raise
        try:
            beside = self.beside(path, decisions)
        except StageTimeout:
            if not self.allowance.ends.passed:
                raise
            beside = {}
        return DeviceResult({**self.figures(measured), **beside}, measured.to_dict())

    def figures(self, measured: Measurement) -> dict[str, Any]:
        """A measurement's metrics as they compare with those of other hours: see :class:`Reference`."""
        return self._paired(measured.metrics(), measured)

    def beside(self, path: Path, decisions: Mapping[str, str]) -> dict[str, Any]:
        """Memory and starts (in a hurry only where the job asks for them), and throughput where the job asks for it."""
        found: dict[str, Any] = {}
        for _, evaluate in self.besides():
            found |= evaluate(path, decisions)
        return found

    def besides(self) -> list[tuple[frozenset[str], Callable[[Path, Mapping[str, str]], dict[str, Any]]]]:
        """What :meth:`beside` is made of: the metrics of each part, and how to get them."""
        wanted = self.allowance.wanted_beside(self._job)
        evaluators: list[Evaluator] = [each for each in (self._memory, self._starts) if each.metrics & wanted]
        evaluators += [self._throughput] if self._job.wants("throughput") else []
        return [(one.metrics, partial(self._asked, one)) for one in evaluators]

    def _asked(self, evaluator: Evaluator, path: Path, decisions: Mapping[str, str]) -> dict[str, Any]:
        return self._paired(evaluator.evaluate(path, self.runtime(decisions)).metrics, None)

    def _paired(self, metrics: Mapping[str, Any], measured: Measurement | None) -> dict[str, Any]:
        return self._reference.paired(metrics, {} if measured is None else measured.baseline_metrics())

    def measure(self, path: Path, decisions: Mapping[str, str]) -> Measurement:
        """Paired latency against the fp32 model, with its raw samples; of engines built twice where a runtime builds
        engines, since no two builds are equal."""
        latency = self._latency
        return latency.device.measure(
            latency.baseline, path, latency.sample, protocol=latency.protocol, limit_s=latency.limit_s,
            runtime=built_twice(self.runtime(decisions) or self.profile.runtime),
        )  # fmt: skip

    def close(self) -> None:
        """Ends what measures."""
        if "_device" in self.__dict__:
            self._device.close()

    @property
    def _limit_s(self) -> float:
        """For each of the things that are measured, as it begins."""
        return self.allowance.ends.within(self._limits.measuring_s)

    @property
    def _quality(self) -> Evaluator:
        here = QualityEvaluator(self._builder, self._order, self._limit_s, self._name)
        return RemoteQuality(here, self._device, self._sample) if self.profile.agent else here

    @property
    def _evaluators(self) -> list[Evaluator]:
        others = self._memory, self._starts, self._throughput
        return [self._latency, *(one for one in others if any(map(self._job.wants, one.metrics)))]

    @cached_property
    def _device(self) -> Device:
        return self._open(self.profile)

    @property
    def _latency(self) -> LatencyEvaluator:
        baseline, sample = Path(self._facts["model_path"]), self._sample
        return LatencyEvaluator(self._device, baseline, sample, self._limit_s, self.allowance.protocol)

    @property
    def _memory(self) -> MemoryEvaluator:
        return MemoryEvaluator(self._device, self._sample, self._limit_s)

    @property
    def _starts(self) -> StartEvaluator:
        return StartEvaluator(self._device, self._sample, self._limit_s)

    @property
    def _throughput(self) -> ThroughputEvaluator:
        return ThroughputEvaluator(self._device, Path(self._facts["model_path"]), self._sample, self._limit_s)

    @cached_property
    def _sample(self) -> dict[str, Array]:
        return self._builder.call(
            sandboxed.sample, self._order, self._name, stage="building", limit_s=self._limits.building_s
        )
