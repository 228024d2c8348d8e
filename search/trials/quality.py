"""The evaluator of a task's own metrics, in a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.devices.evaluator import Evaluation, Evaluator
from evaluators.measuring.quality import Quality
from evaluators.processes.sandbox import Sandbox
from search.fronts.metrics import QUALITY_RUNTIME
from search.trials import sandboxed
from search.trials.context import JobContext


@dataclass
class QualityEvaluator(Evaluator):
    """Evaluates the task's metrics on the validation split, with their ``intervals``, in a sandbox.

    A runtime that replaced the device's is named under ``quality_runtime``.
    """

    sandbox: Sandbox
    context: JobContext
    limit_s: float
    device: str | None = None
    """Label of the device; None for the job's first."""

    metrics = frozenset({"cosine", "intervals"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        quality = self.sandbox.call(
            sandboxed.quality, self.context, model, "validation", runtime, self.device, stage="measuring",
            limit_s=self.limit_s,
        )  # fmt: skip
        return Evaluation(self.metrics_of(quality))

    @staticmethod
    def metrics_of(quality: Quality) -> dict[str, Any]:
        """Quality as part of a candidate's metrics."""
        intervals = {name: list(interval) for name, interval in quality.intervals.items()}
        mark = {} if quality.stand_in is None else {QUALITY_RUNTIME: quality.stand_in}
        return {**quality.metrics, "intervals": intervals, **mark}
