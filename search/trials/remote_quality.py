"""Quality of a remote device's candidates: taken here, but for those that answer something else there."""

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
    """The quality that ``here`` takes on this machine, after one batch's outputs (``sample``) were compared with those
    of the ``device``. Where they differ by more than rounding (:data:`evaluators.measuring.outputs.ROUNDING`), as the
    int8 products of a processor without VNNI do that saturate, the device is asked for all outputs, and quality is of
    these.

    ``quality_from`` says whose outputs it is of (``host`` or ``agent``), ``quality_check`` what came of comparing.
    """

    here: QualityEvaluator
    device: Device
    sample: Arrays

    metrics = frozenset({"cosine", "intervals"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """See :meth:`Evaluator.evaluate`."""
        found = self.here.evaluate(model, runtime).metrics
        check, asks_agent = self._compared(model, runtime)
        if asks_agent:
            theirs, why_not = self._of_agent(model, runtime)
            if theirs is not None:
                return Evaluation({**theirs, QUALITY_FROM: "agent", QUALITY_CHECK: check})
            check += f"; the agent's quality is not known: {why_not}"
        return Evaluation({**found, QUALITY_FROM: "host", QUALITY_CHECK: check})

    def _compared(self, model: Path, runtime: str | None) -> tuple[str, bool]:
        """What came of comparing one batch, and whether the two answer differently."""
        try:
            there = self.device.outputs(model, self.sample, limit_s=self.here.limit_s, runtime=runtime)
        except StageTimeout as error:
            return f"not compared: {error.message}", False
        except UnsupportedOp as error:
            if "that travel" not in error.message:
                raise
            return f"not compared: {error.message}", False
        if there is None:
            return "not compared: the agent is of an earlier version", False
        here = self._call(sandboxed.outputs, model, dict(self.sample), runtime, self.here.device)
        share = difference(here, there)
        if share <= ROUNDING:
            return SAME, False
        return f"differs: the device answers otherwise than this machine, by {share:.1%}", True

    def _of_agent(self, model: Path, runtime: str | None) -> tuple[dict[str, Any] | None, str]:
        """The quality of the device's own outputs on the validation split; None, and why, where it cannot be had."""
        inputs: dict[str, Array] = self._call(sandboxed.inputs, "validation")
        try:
            outputs = self.device.outputs(model, inputs, limit_s=self.here.limit_s, runtime=runtime)
            quality = self._call(sandboxed.quality_of, outputs or {}, "validation", self.here.device)
        except (BuildFailed, StageTimeout, UnsupportedOp) as error:
            return None, error.message
        return self.here.metrics_of(quality), ""

    def _call(self, verb: Any, *args: Any) -> Any:
        return self.here.sandbox.call(verb, self.here.order, *args, stage="measuring", limit_s=self.here.limit_s)
