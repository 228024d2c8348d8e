"""Evaluators that measure on a device, and one that only looks at the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluators.devices.device import Device
from evaluators.devices.evaluator import Evaluation, Evaluator
from evaluators.graphs.model import load_model
from evaluators.graphs.sparse_size import sparse_size_bytes
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.measuring.throughput import Load
from evaluators.tensors import Arrays
from hwprofiles.errors import BuildFailed


@dataclass
class SizeEvaluator(Evaluator):
    """``size_bytes`` of the file, and optionally ``sparse_size_bytes``: its size without zeros."""

    sparse: bool = False
    """Whether to compute ``sparse_size_bytes``."""

    @property
    def metrics(self) -> frozenset[str]:  # type: ignore[override]
        """See :attr:`Evaluator.metrics`."""
        return frozenset({"size_bytes", "sparse_size_bytes"} if self.sparse else {"size_bytes"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        try:
            size = {"size_bytes": model.stat().st_size}
            return Evaluation(
                size | ({"sparse_size_bytes": sparse_size_bytes(load_model(model))} if self.sparse else {})
            )
        except OSError as error:
            raise BuildFailed(f"{model.name} cannot be read: {error.strerror}") from None


@dataclass
class LatencyEvaluator(Evaluator):
    """``latency_ms`` and ``speedup`` against ``baseline`` on one ``sample``, measured in pairs.

    Also ``energy_mj`` if the device counts energy.
    """

    device: Device
    baseline: Path
    sample: Arrays
    limit_s: float
    protocol: Protocol = Protocol()  # noqa: RUF009 - frozen

    metrics = frozenset({"latency_ms", "speedup"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        measured = self.device.measure(self.request(model, runtime))
        return Evaluation(measured.metrics(), measured)

    def request(self, model: Path, runtime: str | None = None) -> LatencyRequest:
        """Returns the request to measure ``model``, executed in ``runtime``, against the baseline."""
        return LatencyRequest(self.baseline, model, self.sample, self.protocol, self.limit_s, runtime)


@dataclass
class MemoryEvaluator(Evaluator):
    """``peak_memory_bytes`` of a fresh process with only this model."""

    device: Device
    sample: Arrays
    limit_s: float

    metrics = frozenset({"peak_memory_bytes"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        used = self.device.peak_memory_bytes(model, self.sample, limit_s=self.limit_s, runtime=runtime)
        return Evaluation({"peak_memory_bytes": used})


@dataclass
class StartEvaluator(Evaluator):
    """``cold_start_ms`` and ``warm_start_ms``: time to the first output of a fresh process, and of its second session.

    No metrics if the device cannot measure them.
    """

    device: Device
    sample: Arrays
    limit_s: float

    metrics = frozenset({"cold_start_ms", "warm_start_ms"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        starts = self.device.starts(model, self.sample, limit_s=self.limit_s, runtime=runtime)
        return Evaluation({} if starts is None else starts.metrics())


@dataclass
class ThroughputEvaluator(Evaluator):
    """``throughput`` against ``baseline`` under ``load``; no metrics if the device cannot measure it."""

    device: Device
    baseline: Path
    sample: Arrays
    limit_s: float
    load: Load = Load()  # noqa: RUF009 - frozen

    metrics = frozenset({"throughput"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        throughput = self.device.throughput(
            self.baseline, model, self.sample, load=self.load, limit_s=self.limit_s, runtime=runtime
        )
        return Evaluation({} if throughput is None else throughput.metrics())
