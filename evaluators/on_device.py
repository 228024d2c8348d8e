"""Evaluators that ask a device, and the one that only looks at the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evaluators.base import Evaluation, Evaluator
from evaluators.device import Device
from evaluators.latency import Protocol
from evaluators.runtimes.base import Arrays
from hwprofiles.errors import BuildFailed


class SizeEvaluator(Evaluator):
    """``size_bytes``: the file on disk."""

    metrics = frozenset({"size_bytes"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        try:
            return Evaluation({"size_bytes": model.stat().st_size})
        except OSError as error:
            raise BuildFailed(f"{model.name} cannot be read: {error.strerror}") from None


@dataclass
class LatencyEvaluator(Evaluator):
    """``latency_ms`` and ``speedup`` against ``baseline`` on one ``sample``, by the paired protocol."""

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
