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
    """The task's metrics on the validation split and their ``intervals``, from the file through its runtime, in a
    sandbox; on the job's first device, or the one whose label is ``device``. Where another runtime stood in, it is
    named under ``quality_runtime``."""

    sandbox: Sandbox
    order: JobContext
    limit_s: float
    device: str | None = None

    metrics = frozenset({"cosine", "intervals"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        found = self.sandbox.call(
            sandboxed.quality, self.order, model, "validation", runtime, self.device, stage="measuring",
            limit_s=self.limit_s,
        )  # fmt: skip
        return Evaluation(self.metrics_of(found))

    @staticmethod
    def metrics_of(found: Quality) -> dict[str, Any]:
        """Quality as a candidate's metrics hold it."""
        intervals = {name: list(interval) for name, interval in found.intervals.items()}
        mark = {} if found.stand_in is None else {QUALITY_RUNTIME: found.stand_in}
        return {**found.metrics, "intervals": intervals, **mark}
