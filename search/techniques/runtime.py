"""What executes a candidate, as a decision: the device's runtimes and the precisions that they compute in."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import field_validator

from evaluators.devices.device import Device
from evaluators.probing.questions import Answer
from evaluators.processes.sandbox_child import report
from evaluators.runtimes import runtime_of
from hwprofiles import Precision
from hwprofiles.errors import InvalidInput
from search.gains.runtimes import possible_runtimes
from search.gains.static_scheme import answer_row, best_static, static_gain
from search.gains.whole_model import UNAVAILABLE, WholeModel, silent, slower
from search.space.candidate import RUNTIME, Decision
from search.subject import Draft
from search.techniques.base import Technique, TechniqueOptions

_PATIENCE_S, _PATIENCE_RUNS = 15.0, 200
"""How long a slow runtime may take over a question: a constant, and so many inferences of fp32 in both runtimes."""


class RuntimeOptions(TechniqueOptions):
    """``choices`` of runtimes, ``name`` or ``name:hint``; empty for all that the device has."""

    choices: tuple[str, ...] = ()

    @field_validator("choices")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for spec in value:
            try:
                runtime_of(spec)
            except InvalidInput as error:
                raise ValueError(f"{error.message}; {error.hint}") from None
        return value


class RuntimeTechnique(Technique):
    """The runtimes that run the model on the device, its first one first. Changes no graph.

    One whose fp32 is clearly slower than the first runtime's fp32 stays only if static int8 is faster there, and no
    slower than in the runtimes of its family that stay: other precisions of the same kernels.
    """

    Options = RuntimeOptions
    options: RuntimeOptions

    def decisions(self, device: Device | None) -> list[Decision]:
        """None where the device has one runtime, or is modelled."""
        if device is None:
            return []
        specs = possible_runtimes(device.profile, self.options.choices)
        if set(specs) <= {device.profile.runtime}:
            return []
        kept = self._kept(device, specs)
        self.subject.kept[device.profile.digest] = kept
        if set(kept) <= {device.profile.runtime}:
            return []
        return [Decision(RUNTIME, tuple(kept), RUNTIME)]

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """See :meth:`Technique.apply`."""
        return draft

    def _kept(self, device: Device, specs: tuple[str, ...]) -> dict[str, float]:
        """Of these runtimes those that are worth trying, with their speed-up in fp32."""
        model, first = WholeModel(self.subject, device), device.profile.runtime
        answers: dict[str, Answer] = {}
        for spec in specs:
            if spec != first:
                report(f"asking the device about runtime {spec}")
                answers[spec] = model.gain([Precision.FP32], lambda: self.subject.model, spec)
                self.answers.append(answer_row(spec, Precision.FP32, None, answers[spec]))
        ratios = {
            spec: float(answer.get("ratio", 1.0))
            for spec, answer in answers.items()
            if "ratio" in answer or (silent(answer) and not answer["reason"].startswith(UNAVAILABLE))
        }
        fast = [spec for spec in ratios if not slower(answers[spec], 1.0)]
        kept = fast + [spec for spec in ratios if spec not in fast and self._may_pay(model, spec, fast, answers)]
        found = {spec: 1.0 if spec == first else ratios[spec] for spec in specs if spec == first or spec in kept}
        return found or {first: 1.0}

    def _may_pay(self, model: WholeModel, spec: str, fast: list[str], answers: Mapping[str, Answer]) -> bool:
        """Whether static int8 makes up for a slow fp32. A runtime that takes forever over it does not."""
        family = runtime_of(spec).family
        relatives = [one for one in fast if runtime_of(one).family == family]
        if relatives:
            nearest = max(relatives, key=lambda one: float(answers[one].get("ratio", 1.0)))
            scheme, best = best_static(model, nearest)
            if scheme is None:
                return False
            limit_s = _PATIENCE_S + _PATIENCE_RUNS * (answers[spec]["ms"] + answers[spec]["baseline_ms"]) / 1000
            answer = static_gain(model, spec, scheme, limit_s=limit_s)
        else:
            scheme, answer = best_static(model, spec)
            best = {}
        self.answers.append(answer_row(spec, Precision.INT8, scheme, answer))
        return not slower(answer, max(1.0, float(best.get("ratio", 0.0))))
