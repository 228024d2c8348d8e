"""Evaluators that ask a device, and the one that only looks at the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluators.devices.device import Device
from evaluators.devices.evaluator import Evaluation, Evaluator
from evaluators.graphs.model import load_model
from evaluators.graphs.sparse_size import sparse_size_bytes
from evaluators.measuring.latency import Protocol
from evaluators.measuring.throughput import Load
from evaluators.tensors import Arrays
from hwprofiles.errors import BuildFailed


@dataclass
class SizeEvaluator(Evaluator):
    """``size_bytes``: the file on disk; where asked, also what it would be without its zeros: ``sparse_size_bytes``."""

    sparse: bool = False

    @property
    def metrics(self) -> frozenset[str]:  # type: ignore[override]
        """See :attr:`Evaluator.metrics`."""
        return frozenset({"size_bytes", "sparse_size_bytes"} if self.sparse else {"size_bytes"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        try:
            found = {"size_bytes": model.stat().st_size}
            return Evaluation(
                found | ({"sparse_size_bytes": sparse_size_bytes(load_model(model))} if self.sparse else {})
            )
        except OSError as error:
            raise BuildFailed(f"{model.name} cannot be read: {error.strerror}") from None


@dataclass
class LatencyEvaluator(Evaluator):
    """``latency_ms`` and ``speedup`` against ``baseline`` on one ``sample``, by the paired protocol; also ``energy_mj``
    where the device counts energy."""

    device: Device
    baseline: Path
    sample: Arrays
    limit_s: float
    protocol: Protocol = Protocol()  # noqa: RUF009 - frozen

    metrics = frozenset({"latency_ms", "speedup"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        measured = self.device.measure(
            self.baseline, model, self.sample, protocol=self.protocol, limit_s=self.limit_s, runtime=runtime
        )
        return Evaluation(measured.metrics(), measured)


@dataclass
class MemoryEvaluator(Evaluator):
    """``peak_memory_bytes`` of a fresh process that holds only this model."""

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
    """``cold_start_ms`` and ``warm_start_ms``: until the first answer of a fresh process, and until that of a second
    session in it. Nothing from a device that cannot be asked."""

    device: Device
    sample: Arrays
    limit_s: float

    metrics = frozenset({"cold_start_ms", "warm_start_ms"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        found = self.device.starts(model, self.sample, limit_s=self.limit_s, runtime=runtime)
        return Evaluation({} if found is None else found.metrics())


@dataclass
class ThroughputEvaluator(Evaluator):
    """``throughput`` against ``baseline`` under ``load``. Nothing from a device that cannot be asked."""

    device: Device
    baseline: Path
    sample: Arrays
    limit_s: float
    load: Load = Load()  # noqa: RUF009 - frozen

    metrics = frozenset({"throughput"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        found = self.device.throughput(
            self.baseline, model, self.sample, load=self.load, limit_s=self.limit_s, runtime=runtime
        )
        return Evaluation({} if found is None else found.metrics())
