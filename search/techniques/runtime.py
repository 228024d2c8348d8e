"""The runtime that executes a candidate, as a decision: the device's runtimes with their hints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from evaluators.devices.device import Device
from evaluators.probing.answers import Answer, failure_of
from evaluators.processes.sandbox_child import report
from evaluators.runtimes import runtime_of
from hwprofiles import Precision
from hwprofiles.errors import InvalidInput
from search.bounds import MOST_ITEMS
from search.gains.runtimes import possible_runtimes
from search.gains.static_scheme import answer_row, measure_best_static, measure_static_gain
from search.gains.whole_model import UNAVAILABLE, WholeModel, silent, slower
from search.space.candidate import RUNTIME, Decision
from search.space.offer import Offer
from search.subject import Draft
from search.techniques.base import Stage, Technique, TechniqueOptions

_PATIENCE_S, _PATIENCE_RUNS = 15.0, 200
"""Time for benchmarking a slow runtime: a constant, plus that of so many fp32 inferences in both runtimes."""


class RuntimeOptions(TechniqueOptions):
    """The section ``runtime`` of a job's space."""

    choices: tuple[str, ...] = Field((), max_length=MOST_ITEMS)
    """Runtimes as ``name`` or ``name:hint``; empty for all that the device has."""

    @field_validator("choices")
    @classmethod
    def _check_runtimes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for spec in value:
            try:
                runtime_of(spec)
            except InvalidInput as error:
                raise ValueError(f"{error.message}; {error.hint}") from None
        return value


class RuntimeTechnique(Technique):
    """The runtimes that run the model on the device, its first one first. Changes no graph.

    A runtime whose fp32 is clearly slower than the first runtime's fp32 stays only if static int8 is faster in it, and
    no slower than in the remaining runtimes of its family, which are other precisions of the same kernels.
    """

    stage = Stage.RUNTIME
    Options = RuntimeOptions
    options: RuntimeOptions

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        """Returns one decision, after benchmarking the runtimes; none if the device has one runtime, or is modelled."""
        if device is None:
            return Offer()
        specs = possible_runtimes(device.profile, self.options.choices)
        if set(specs) <= {device.profile.runtime}:
            return Offer()
        speedups, answers = self._measure_runtimes(device, specs)
        choice = Decision(RUNTIME, tuple(speedups), RUNTIME, scope="device")
        decisions = () if set(speedups) <= {device.profile.runtime} else (choice,)
        return Offer(decisions, tuple(answers), runtime_speedups={device.profile.digest: speedups})

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """See :meth:`Technique.apply`."""
        return draft

    def _measure_runtimes(
        self, device: Device, specs: tuple[str, ...]
    ) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Benchmarks runtimes; those that are worth trying, with their speed-up in fp32, and all answers."""
        model, first = WholeModel(self.subject, device), device.profile.runtime
        answers: dict[str, Answer] = {}
        for spec in specs:
            if spec != first:
                report(f"benchmarking runtime {spec}")
                answers[spec] = model.measure_gain([Precision.FP32], lambda: self.subject.model, spec)
        ratios = {
            spec: float(answer.get("ratio", 1.0))
            for spec, answer in answers.items()
            if "ratio" in answer or (silent(answer) and failure_of(answer) != UNAVAILABLE)
        }
        fast = [spec for spec in ratios if not slower(answers[spec], 1.0)]
        rows = [answer_row(spec, Precision.FP32, None, answer) for spec, answer in answers.items()]
        kept = list(fast)
        for spec in ratios:
            if spec not in fast:
                pays, more = self._may_pay(model, spec, fast, answers)
                kept += [spec] if pays else []
                rows += more
        speedups = {spec: 1.0 if spec == first else ratios[spec] for spec in specs if spec == first or spec in kept}
        return speedups or {first: 1.0}, rows

    def _may_pay(
        self, model: WholeModel, spec: str, fast: list[str], answers: Mapping[str, Answer]
    ) -> tuple[bool, list[dict[str, Any]]]:
        """Measures whether static int8 makes up for a slow fp32, within a time limit; the verdict, and the answers."""
        family = runtime_of(spec).family
        relatives = [name for name in fast if runtime_of(name).family == family]
        if relatives:
            nearest = max(relatives, key=lambda name: float(answers[name].get("ratio", 1.0)))
            scheme, best = measure_best_static(model, nearest)
            if scheme is None:
                return False, []
            limit_s = _PATIENCE_S + _PATIENCE_RUNS * (answers[spec]["ms"] + answers[spec]["baseline_ms"]) / 1000
            answer = measure_static_gain(model, spec, scheme, limit_s=limit_s)
        else:
            scheme, answer = measure_best_static(model, spec)
            best = {}
        pays = not slower(answer, max(1.0, float(best.get("ratio", 0.0))))
        return pays, [answer_row(spec, Precision.INT8, scheme, answer)]
