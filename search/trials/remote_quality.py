"""Quality of a remote device's candidates: from this machine's outputs, or the device's where they differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.devices.device import Device
from evaluators.devices.evaluator import Evaluation, Evaluator
from evaluators.measuring.outputs import ROUNDING, difference
from evaluators.tensors import Array, Arrays
from hwprofiles.errors import BuildFailed, StageTimeout, UnsupportedOp
from search.fronts.metrics import QUALITY_CHECK, QUALITY_FROM
from search.trials import sandboxed
from search.trials.quality import QualityEvaluator

SAME = "same outputs"


@dataclass
class RemoteQuality(Evaluator):
    """Evaluates quality on this machine, and compares one batch's outputs with those of the device.

    If they differ by more than rounding (:data:`evaluators.measuring.outputs.ROUNDING`), as saturating int8 products of
    a processor without VNNI do, quality is computed from the device's outputs for the whole split.

    ``quality_from`` names the outputs used (``host`` or ``agent``), ``quality_check`` the result of the comparison.
    """

    local: QualityEvaluator
    device: Device
    sample: Arrays
    """The batch that is compared."""

    metrics = frozenset({"cosine", "intervals"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        local = self.local.evaluate(model, runtime).metrics
        check, asks_agent = self._compare(model, runtime)
        if asks_agent:
            theirs, why_not = self._of_agent(model, runtime)
            if theirs is not None:
                return Evaluation({**theirs, QUALITY_FROM: "agent", QUALITY_CHECK: check})
            check += f"; the agent's quality is not known: {why_not}"
        return Evaluation({**local, QUALITY_FROM: "host", QUALITY_CHECK: check})

    def _compare(self, model: Path, runtime: str | None) -> tuple[str, bool]:
        """Compares one batch; the result in words, and whether the outputs differ."""
        try:
            remote = self.device.outputs(model, self.sample, limit_s=self.local.limit_s, runtime=runtime)
        except StageTimeout as error:
            return f"not compared: {error.message}", False
        except UnsupportedOp as error:
            if "that travel" not in error.message:
                raise
            return f"not compared: {error.message}", False
        if remote is None:
            return "not compared: the agent is of an earlier version", False
        outputs = self._call(sandboxed.outputs, model, dict(self.sample), runtime, self.local.device)
        share = difference(outputs, remote)
        if share <= ROUNDING:
            return SAME, False
        return f"differs: the device answers otherwise than this machine, by {share:.1%}", True

    def _of_agent(self, model: Path, runtime: str | None) -> tuple[dict[str, Any] | None, str]:
        """Quality from the device's own outputs on the validation split; None and the reason if there are none."""
        inputs: dict[str, Array] = self._call(sandboxed.inputs, "validation")
        try:
            outputs = self.device.outputs(model, inputs, limit_s=self.local.limit_s, runtime=runtime)
            quality = self._call(sandboxed.quality_of, outputs or {}, "validation", self.local.device)
        except (BuildFailed, StageTimeout, UnsupportedOp) as error:
            return None, error.message
        return self.local.metrics_of(quality), ""

    def _call(self, function: Any, *args: Any) -> Any:
        sandbox, limit_s = self.local.sandbox, self.local.limit_s
        return sandbox.call(function, self.local.context, *args, stage="measuring", limit_s=limit_s)
