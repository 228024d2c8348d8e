"""Evaluators of the file alone, and of the file on a device. A new one is one class and its name in a tuple below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.devices.device import Device
from evaluators.devices.evaluator import Evaluation, Evaluator, load_candidate
from evaluators.graphs.parameters import count_parameters
from evaluators.graphs.sparse_size import sparse_size_bytes
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.measuring.throughput import Load
from evaluators.tensors import Arrays
from hwprofiles.errors import BuildFailed

Wants = Callable[[str], bool]
"""Whether a job names a metric."""


class SizeEvaluator(Evaluator):
    """``size_bytes`` of the file."""

    metrics = frozenset({"size_bytes"})
    by_default = True

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        try:
            return Evaluation({"size_bytes": model.stat().st_size})
        except OSError as error:
            raise BuildFailed(f"{model.name} cannot be read: {error.strerror}") from None


class SparseSizeEvaluator(Evaluator):
    """``sparse_size_bytes`` of the file: its size without zeros."""

    metrics = frozenset({"sparse_size_bytes"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        return Evaluation({"sparse_size_bytes": sparse_size_bytes(load_candidate(model))})


class ParametersEvaluator(Evaluator):
    """``parameters`` of the file: how many numbers its weights are."""

    metrics = frozenset({"parameters"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        return Evaluation({"parameters": count_parameters(load_candidate(model))})


@dataclass
class MeasuringEvaluator(Evaluator):
    """Measures a file on a device, with one sample."""

    device: Device
    baseline: Path
    """The fp32 model's file, which some metrics compare with."""
    sample: Arrays
    limit_s: float


@dataclass
class LatencyEvaluator(MeasuringEvaluator):
    """``latency_ms`` and ``speedup`` against ``baseline``, measured in pairs.

    Also ``energy_mj`` if the device counts energy.
    """

    protocol: Protocol = Protocol()  # noqa: RUF009 - frozen

    metrics = frozenset({"latency_ms", "speedup"})
    sometimes = frozenset({"energy_mj"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        measured = self.device.measure(self.request(model, runtime))
        return Evaluation(measured.metrics(), measured)

    def request(self, model: Path, runtime: str | None = None) -> LatencyRequest:
        """Returns the request to measure ``model``, executed in ``runtime``, against the baseline."""
        return LatencyRequest(self.baseline, model, self.sample, self.protocol, self.limit_s, runtime)


class MemoryEvaluator(MeasuringEvaluator):
    """``peak_memory_bytes`` of a fresh process with only this model."""

    metrics = frozenset({"peak_memory_bytes"})
    by_default = True

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        used = self.device.peak_memory_bytes(model, self.sample, limit_s=self.limit_s, runtime=runtime)
        return Evaluation({"peak_memory_bytes": used})


class StartEvaluator(MeasuringEvaluator):
    """``cold_start_ms`` and ``warm_start_ms``: time to the first output of a fresh process, and of its second session.

    No metrics if the device cannot measure them.
    """

    metrics = frozenset({"cold_start_ms", "warm_start_ms"})
    by_default = True

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        starts = self.device.starts(model, self.sample, limit_s=self.limit_s, runtime=runtime)
        return Evaluation({} if starts is None else starts.metrics())


@dataclass
class ThroughputEvaluator(MeasuringEvaluator):
    """``throughput`` against ``baseline`` under ``load``; no metrics if the device cannot measure it."""

    load: Load = Load()  # noqa: RUF009 - frozen

    metrics = frozenset({"throughput"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        throughput = self.device.throughput(
            self.baseline, model, self.sample, load=self.load, limit_s=self.limit_s, runtime=runtime
        )
        return Evaluation({} if throughput is None else throughput.metrics())


FILE_EVALUATORS: tuple[type[Evaluator], ...] = (SizeEvaluator, SparseSizeEvaluator, ParametersEvaluator)
"""The evaluators of exact metrics: the file alone decides these, no device is asked."""

DEVICE_EVALUATORS: tuple[type[MeasuringEvaluator], ...] = (MemoryEvaluator, StartEvaluator, ThroughputEvaluator)
"""The evaluators of what is measured on a device besides latency, which is measured in any case."""


def evaluate_file(model: Path, wants: Wants) -> dict[str, Any]:
    """Evaluates the exact metrics of a file that a job names, and those by default."""
    metrics: dict[str, Any] = {}
    for kind in FILE_EVALUATORS:
        if kind.by_default or any(map(wants, kind.metrics)):
            metrics |= kind().evaluate(model).metrics
    return metrics


def device_evaluators(wants: Wants, *, by_default: bool) -> list[type[MeasuringEvaluator]]:
    """Returns the evaluators of the metrics on a device that a job names and, if so asked, those by default."""
    return [kind for kind in DEVICE_EVALUATORS if (by_default and kind.by_default) or any(map(wants, kind.metrics))]
