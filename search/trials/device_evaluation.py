"""Evaluation of candidates on one device of a job: quality, latency and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from evaluators.devices.device import Device
from evaluators.devices.evaluator import Evaluator
from evaluators.devices.evaluators import LatencyEvaluator, device_evaluators
from evaluators.measuring.measurement import Measurement
from evaluators.processes.sandbox import Sandbox
from evaluators.runtimes import with_two_builds
from evaluators.tensors import Array
from hwprofiles import Profile
from hwprofiles.errors import BuildFailed, InvalidInput, ParetuneError, StageTimeout
from search.budget.allowance import Allowance
from search.job.devices import JobDevice
from search.job.facts import JobFacts
from search.space.candidate import runtime_decision
from search.trials import sandboxed
from search.trials.context import JobContext
from search.trials.quality import QualityEvaluator
from search.trials.remote_quality import RemoteQuality

Conditions = tuple[str, int]
"""What a file's quality depends on apart from the file: the runtime and the batch."""

Qualities = dict[Conditions, dict[str, Any] | ParetuneError]
"""The quality of a file by conditions, or the error of its evaluation."""

Measure = Callable[[Path, Mapping[str, str]], dict[str, Any]]
"""Measures metrics of a file with these decisions."""


@dataclass(frozen=True)
class DeviceResult:
    """A candidate's metrics on a device, with the record of its latency measurement."""

    metrics: dict[str, Any]
    measurement: dict[str, Any] | None


class DeviceEvaluator:
    """Evaluates a job's candidates on one of its devices, within an ``allowance``.

    Used by one thread, closed by its owner. The ``builder`` belongs to the owner; ``open_device`` is called on first
    use.
    """

    def __init__(
        self,
        device: JobDevice,
        context: JobContext,
        facts: JobFacts,
        builder: Sandbox,
        open_device: Callable[[Profile], Device],
        allowance: Allowance | None = None,
    ) -> None:
        self.label, self.profile = device.label, device.profile
        self._context, self._facts, self._builder, self._open = context, facts, builder, open_device
        self._job = context.job
        self._limits, self.allowance = self._job.limits, allowance or Allowance(protocol=self._job.protocol)
        self._name = None if device == context.devices[0] else device.label
        self._reference = facts.reference(device.label)

    def runtime(self, decisions: Mapping[str, str]) -> str | None:
        """Returns the runtime that a candidate chose for this device; None for the device's first."""
        return decisions.get(runtime_decision(self._name))

    def conditions(self, decisions: Mapping[str, str]) -> Conditions:
        """Returns the conditions of a file's quality: it is equal on all devices with equal conditions."""
        runtime = self.runtime(decisions) or self.profile.runtime
        # Quality for a remote device depends on its agent's outputs.
        return f"{runtime} on {self.label}" if self.profile.agent else runtime, self.profile.batch

    def evaluate(
        self, path: Path, decisions: Mapping[str, str], qualities: Qualities, *, timed: bool = True
    ) -> DeviceResult:
        """Measures all metrics of a file except its size, in seconds to minutes; only its quality unless ``timed``.

        Quality, or its error, is taken from ``qualities`` or added to them. What fails fastest comes first; memory,
        start-up and throughput are measured in a search only if the job asks for them.
        """
        conditions, runtime = self.conditions(decisions), self.runtime(decisions)
        if conditions not in qualities:
            try:
                qualities[conditions] = self._quality.evaluate(path, runtime).metrics
            except ParetuneError as error:
                qualities[conditions] = error
        quality = qualities[conditions]
        if isinstance(quality, ParetuneError):
            raise quality
        metrics, measurement = dict(quality), None
        for evaluator in self._evaluators if timed else ():
            try:
                evaluation = evaluator.evaluate(path, runtime)
            except InvalidInput as error:  # the file was built from valid input
                raise BuildFailed(error.message, error.hint) from None
            metrics.update(self._pair(evaluation.metrics, evaluation.measurement))
            measurement = evaluation.measurement.to_dict() if evaluation.measurement else measurement
        return DeviceResult(metrics, measurement)

    def measure_again(self, path: Path, decisions: Mapping[str, str]) -> DeviceResult:
        """Measures latency, memory and start-up again in fresh sessions (minutes), and throughput if asked.

        Secondary metrics are left out if time runs out; raises :class:`hwprofiles.errors.NotAsked` if there is none for
        the latency.
        """
        self.allowance.ends.check()
        try:
            measured = self.measure(path, decisions)
        except StageTimeout:
            self.allowance.ends.check()  # the job's time is over, not the model's
            raise
        try:
            secondary = self.secondary_metrics(path, decisions)
        except StageTimeout:
            if not self.allowance.ends.is_over:
                raise
            secondary = {}
        return DeviceResult({**self.figures(measured), **secondary}, measured.to_dict())

    def figures(self, measured: Measurement) -> dict[str, Any]:
        """Returns a measurement's metrics, comparable with those of other hours: see
        :class:`search.fronts.reference.Reference`."""
        return self._pair(measured.metrics(), measured)

    def secondary_metrics(self, path: Path, decisions: Mapping[str, str]) -> dict[str, Any]:
        """Measures memory and start-up (if time is short, only on request), and what the job names."""
        metrics: dict[str, Any] = {}
        for _, evaluate in self.secondary_measurements():
            metrics |= evaluate(path, decisions)
        return metrics

    def secondary_measurements(self) -> list[tuple[frozenset[str], Measure]]:
        """Returns the parts of :meth:`secondary_metrics`: the metrics of each, and a function that measures them."""
        evaluators = self._secondary(by_default=self.allowance.all_secondary)
        return [(evaluator.metrics, partial(self._evaluate, evaluator)) for evaluator in evaluators]

    def _secondary(self, *, by_default: bool) -> list[Evaluator]:
        """See :func:`device_evaluators`."""
        kinds = device_evaluators(self._job.wants, by_default=by_default)
        return [kind(self._device, self._facts.model_path, self._sample, self._limit_s) for kind in kinds]

    def _evaluate(self, evaluator: Evaluator, path: Path, decisions: Mapping[str, str]) -> dict[str, Any]:
        return self._pair(evaluator.evaluate(path, self.runtime(decisions)).metrics, None)

    def _pair(self, metrics: Mapping[str, Any], measured: Measurement | None) -> dict[str, Any]:
        return self._reference.pair(metrics, {} if measured is None else measured.baseline_metrics())

    def measure(self, path: Path, decisions: Mapping[str, str]) -> Measurement:
        """Measures paired latency against the fp32 model, with raw samples.

        A runtime that builds engines builds them twice, since no two builds are equal.
        """
        latency = self._latency
        runtime = with_two_builds(self.runtime(decisions) or self.profile.runtime)
        return latency.device.measure(latency.request(path, runtime))

    def close(self) -> None:
        """Ends the measuring processes."""
        if "_device" in self.__dict__:
            self._device.close()

    @property
    def _limit_s(self) -> float:
        """The time limit of a measurement that begins now."""
        return self.allowance.ends.within(self._limits.measuring_s)

    @property
    def _quality(self) -> Evaluator:
        local = QualityEvaluator(self._builder, self._context, self._limit_s, self._name)
        return RemoteQuality(local, self._device, self._sample) if self.profile.agent else local

    @property
    def _evaluators(self) -> list[Evaluator]:
        return [self._latency, *self._secondary(by_default=False)]

    @cached_property
    def _device(self) -> Device:
        return self._open(self.profile)

    @property
    def _latency(self) -> LatencyEvaluator:
        baseline, sample = self._facts.model_path, self._sample
        return LatencyEvaluator(self._device, baseline, sample, self._limit_s, self.allowance.protocol)

    @cached_property
    def _sample(self) -> dict[str, Array]:
        return self._builder.call(
            sandboxed.sample, self._context, self._name, stage="building", limit_s=self._limits.building_s
        )
