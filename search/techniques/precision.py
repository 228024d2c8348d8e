"""Mixed precision: one decision for each layer group, with the precisions that are worthwhile on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from evaluators.devices.device import Device
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.probing.capability import hopeless_precisions
from evaluators.processes.recent import Recent
from evaluators.quantize import Quantizer, Scheme
from evaluators.runtimes import runtime_of
from hwprofiles import Precision
from hwprofiles.errors import BuildFailed
from search.bounds import MOST, MOST_ITEMS
from search.gains.layers import LayerGains
from search.gains.reduced_range import may_saturate
from search.gains.runtime_precisions import ASKED_BY_LAYER, PrecisionGains, RuntimePrecisions
from search.gains.runtimes import candidate_runtimes
from search.gains.static_scheme import (
    SAMPLES,
    answer_row,
    calibrate_ranges,
    compare_weight_ranges,
    graph_digest,
    measure_static_gain,
)
from search.gains.whole_model import WholeModel, worth_trying
from search.space.candidate import RUNTIME, Decision
from search.space.offer import Offer
from search.subject import Draft, Subject
from search.techniques.base import LAYER_NUMBERS, Stage, Technique, TechniqueOptions

PRECISION = "precision"
CALIBRATION = "calibration"
Method = Literal["minmax", "percentile", "entropy"]
Activations = Literal["uint8", "int8"]
Schemes = Mapping[str, Scheme]
"""Quantisation schemes of static int8 by family of runtimes."""

NEVER_PAYS = "not asked: never faster than fp32 when the device was probed"

# Replaces a value for which a fused operator has no kernel.
_NEXT_BEST = {Precision.INT8: Precision.INT8_DYNAMIC}


class PrecisionOptions(TechniqueOptions):
    """The section ``precision`` of a job's space."""

    choices: tuple[Precision, ...] = Field(tuple(Precision), max_length=MOST_ITEMS)
    """Precisions of each layer."""
    calibration: tuple[Method, ...] = Field(("minmax",), min_length=1, max_length=MOST_ITEMS)
    """How activations are calibrated; several methods become a decision."""
    calibration_samples: int = Field(SAMPLES, ge=1, le=MOST)
    activations: Literal["auto", "uint8", "int8"] = "auto"
    """Type of activations in static int8; ``auto`` benchmarks the device."""
    per_channel: bool = True
    """Whether each output channel of the weights has its own scale."""
    block_size: Literal[16, 32, 64, 128, 256] = 32
    """Weights that share a scale in weight-only precisions."""

    @field_validator("calibration", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class PrecisionTechnique(Technique):
    """Quantises each layer group as its decision says.

    A group is what the runtime computes together: a residual sum with the convolutions that feed it, or the products
    of one input. Values that are slower than fp32 for every layer are left out of the space, unless the whole model is
    faster in them, or the job wants size or memory. Values without an answer stay.
    """

    stage = Stage.NUMBERS
    Options = PrecisionOptions
    options: PrecisionOptions
    decides = LAYER_NUMBERS

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        super().__init__(subject, options)
        self._quantizers: Recent[tuple[str, ...], Quantizer] = Recent(lambda quantizer: quantizer.size_bytes)

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        """Returns one decision for each layer group that can be quantised, and ``calibration`` if there are several
        methods.

        The device's runtimes share the decisions: a value is offered if it is worthwhile in one of them.
        """
        gains = None if device is None else self._measure_all_runtimes(device, earlier)
        worthwhile = set(self.options.choices) if gains is None else gains.worthwhile
        decisions = []
        for group in self.subject.groups:
            values = [p.value for p in group.precisions if p is Precision.FP32 or p in worthwhile]
            if len(values) > 1:
                decisions.append(_decision(group, tuple(values)))
        if decisions and len(self.options.calibration) > 1 and Precision.INT8 in worthwhile:
            decisions.append(Decision(CALIBRATION, self.options.calibration, CALIBRATION))
        if gains is None:
            return Offer(tuple(decisions))
        return Offer(tuple(decisions), tuple(gains.answers), tuple(gains.replacements), gains.static_schemes)

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """See :meth:`Technique.apply`. A precision without a kernel in a fused operator becomes the next best one."""
        assignment = {name: Precision(value) for name, value in self.layer_formats(draft, values).items()}
        if not assignment:
            return draft
        method = values.get(CALIBRATION, self.options.calibration[0])
        static, runtime = Precision.INT8 in assignment.values(), values.get(RUNTIME)
        schemes = draft.static_schemes
        scheme = self.scheme_of(runtime, schemes) if static else self._dynamic_scheme(runtime, schemes)
        return replace(draft, model=self._quantizer(draft, method if static else None, scheme).apply(assignment))

    def layer_formats(self, draft: Draft, values: Mapping[str, str]) -> dict[str, str]:
        """See :meth:`Technique.layer_formats`."""
        wanted = {group: Precision(values.get(_name(group), Precision.FP32)) for group in draft.groups}
        precisions = {group.name: executable_precision(group, precision) for group, precision in wanted.items()}
        return {name: precision.value for name, precision in precisions.items() if precision is not Precision.FP32}

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """See :attr:`Technique.precisions`."""
        return self.options.choices

    def scheme_of(self, runtime: str | None, schemes: Schemes) -> Scheme:
        """Returns the scheme of candidates that ``runtime`` (None: the first) of the job's first device executes.

        ``schemes`` were chosen when the devices were benchmarked; ONNX Runtime's is ``uint8`` without a benchmark.
        Raises :class:`BuildFailed` for another runtime without a benchmark: another scheme would give another file.
        """
        family = runtime_of(runtime or self.subject.profile.runtime).family
        chosen = schemes.get(family)
        if chosen is not None:
            return chosen
        if family not in ASKED_BY_LAYER:
            raise BuildFailed(
                f"the job has no number format for runtime {runtime or self.subject.profile.runtime!r}",
                "start the job anew",
            )
        return self._base

    def _dynamic_scheme(self, runtime: str | None, schemes: Schemes) -> Scheme:
        """Returns the scheme of candidates without static int8; sums of products saturate in dynamic int8 too."""
        chosen = schemes.get(runtime_of(runtime or self.subject.profile.runtime).family)
        return replace(self._base, reduce_range=chosen is not None and chosen.reduce_range)

    def _quantizer(self, draft: Draft, method: str | None, scheme: Scheme) -> Quantizer:
        """``method`` calibrates static int8; ``scheme`` is that of the candidate's runtime."""
        key = (draft.digest, graph_digest(draft.model), method or "", repr(scheme))

        def make() -> Quantizer:
            ranges = None if method is None else calibrate_ranges(self.subject, draft, method, self._samples)
            return Quantizer(draft.model, draft.groups, ranges, scheme)

        return self._quantizers.get(key, make)

    @property
    def _samples(self) -> int:
        return self.options.calibration_samples

    @property
    def _base(self) -> Scheme:
        """The scheme without any benchmark."""
        return self._scheme("int8" if self.options.activations == "int8" else "uint8")

    @property
    def _runtime_precisions(self) -> RuntimePrecisions:
        return RuntimePrecisions(
            self.subject,
            self._scheme("uint8"),
            tuple(self.options.choices),
            self.options.calibration[0],
            self._samples,
            self.options.activations,
        )

    def _measure_all_runtimes(self, device: Device, earlier: Offer) -> PrecisionGains:
        """Returns the precisions that are worthwhile in any of the device's runtimes, with all answers."""
        first = PrecisionGains(set(), [], [], {})
        if device.profile.runtime in candidate_runtimes(self.subject, device.profile, earlier):
            first = self._measure_first_runtime(device, earlier)
        further = self._runtime_precisions.ask(device, first.worthwhile, earlier)
        return PrecisionGains(
            further.worthwhile,
            further.replacements,
            first.answers + further.answers,
            first.static_schemes | further.static_schemes,
        )

    def _scheme(self, activations: Activations) -> Scheme:
        return Scheme(
            activation_type=activations,
            per_channel_weights=self.options.per_channel,
            block_size=self.options.block_size,
        )

    def _measure_first_runtime(self, device: Device, earlier: Offer) -> PrecisionGains:
        """Returns the precisions that are not slower than fp32 for every layer, with the activations that are
        fastest."""
        small = self.subject.small
        capability = self.subject.capabilities.get(device.profile.digest)
        hopeless = hopeless_precisions(capability, self.subject.groups, small=small)
        answers: list[dict[str, Any]] = [
            {"layer": "all", "precision": p.value, "reason": NEVER_PAYS} for p in self.options.choices if p in hopeless
        ]
        precisions = [p for p in self.options.choices if p is not Precision.FP32 and p not in hopeless]
        family, schemes = runtime_of(self.subject.profile.runtime).family, {}
        if device.profile.digest != self.subject.profile.digest:
            scheme = earlier.static_schemes.get(family, self._base)
        else:
            scheme, rows = self._measure_first_scheme(device) if Precision.INT8 in precisions else (self._base, [])
            schemes, answers = {family: scheme}, answers + rows
        layers = LayerGains(self.subject, device)
        gains = layers.ask(precisions, scheme, small=small)
        answers += [asdict(gain) for gain in gains]
        worthwhile = {gain.precision for gain in gains if gain.pays(small=small)}
        unsure = (layers.unasked | {Precision.INT8}) - worthwhile
        for precision in precisions:
            possible = any(precision in group.precisions for group in self.subject.groups)
            if precision in unsure and possible:
                pays, row = self._measure_in_all_layers(device, precision, scheme)
                worthwhile |= {precision} if pays else set()
                answers += [row] if row not in answers else []
        return PrecisionGains(worthwhile, [], answers, schemes)

    def _measure_in_all_layers(
        self, device: Device, precision: Precision, scheme: Scheme
    ) -> tuple[bool, dict[str, Any]]:
        """Measures whether a precision is worth trying in the whole model, though not in single layers; and the answer.

        A single layer in static int8 converts to and from integers, and some layers cannot be benchmarked alone.
        """
        model, first = WholeModel(self.subject, device), device.profile.runtime
        if precision is Precision.INT8:
            answer = measure_static_gain(model, first, scheme, self.options.calibration[0], self._samples)
        else:
            answer = self._runtime_precisions.measure_everywhere(model, precision, first)
        row = answer_row(first, precision, scheme if precision is Precision.INT8 else None, answer)
        return worth_trying(answer, 1.0, small=self.subject.small), row

    def _measure_first_scheme(self, device: Device) -> tuple[Scheme, list[dict[str, Any]]]:
        """Returns the scheme in which static int8 is fastest in the device's first runtime, and the answers.

        For ONNX Runtime the activation type is chosen by the whole model's speed: a single convolution may be as fast
        with either type, while the sums and pools between convolutions are not.
        """
        first = device.profile.runtime
        if runtime_of(first).family not in ASKED_BY_LAYER:
            return self._runtime_precisions.ask_first(device)
        possible = any(Precision.INT8 in group.precisions for group in self.subject.groups)
        if not possible:
            return self._base, []
        model, ratios = WholeModel(self.subject, device), {}
        answers: list[dict[str, Any]] = []
        if self.options.activations != "auto":
            return self._in_best_range(model, self._base, answers)
        for kind in get_args(Activations):
            scheme = self._scheme(kind)
            answer = measure_static_gain(model, first, scheme, self.options.calibration[0], self._samples)
            ratios[kind] = answer.get("ratio", 0.0)
            answers.append(answer_row(first, Precision.INT8, scheme, answer))
        best = self._scheme(max(get_args(Activations), key=lambda kind: ratios[kind]))
        return self._in_best_range(model, best, answers)

    def _in_best_range(
        self, model: WholeModel, scheme: Scheme, answers: list[dict[str, Any]]
    ) -> tuple[Scheme, list[dict[str, Any]]]:
        """Returns the scheme, with 7-bit weights if only these are correct in the device's first runtime.

        Also returns the answers so far, in which those about ranges replace those to the same questions.
        """
        if not may_saturate(model.device.profile):
            return scheme, answers
        first = model.device.profile.runtime
        variants = compare_weight_ranges(model, first, scheme, self.options.calibration[0], self._samples)
        rows = [answer_row(first, Precision.INT8, variant, answer) for variant, answer in variants]
        others = [row for row in answers if _question(row) not in map(_question, rows)]
        return variants[0][0], others + rows


def _name(group: LayerGroup) -> str:
    """Returns the name of a group's decision."""
    return f"{PRECISION}:{group.name}"


def _decision(group: LayerGroup, choices: tuple[str, ...]) -> Decision:
    return Decision(_name(group), choices, PRECISION, target=group.name, scope="layer")


def _question(row: dict[str, Any]) -> tuple[Any, ...]:
    return row.get("runtime"), row["precision"], row.get("activations")


def executable_precision(group: LayerGroup, wanted: Precision) -> Precision:
    """Returns the precision in which a group is computed for a wanted one: itself, the group's next best, or fp32."""
    if wanted not in group.precisions:
        wanted = _NEXT_BEST.get(wanted, Precision.FP32)
    return wanted if wanted in group.precisions else Precision.FP32
