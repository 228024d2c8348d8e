"""Mixed precision: one decision a layer group, its values what the device gains from."""

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
from search.gains.layers import LayerGains
from search.gains.reduced_range import may_saturate
from search.gains.runtime_precisions import ASKED_BY_LAYER, RuntimeFormats
from search.gains.runtimes import kept_runtimes
from search.gains.static_scheme import (
    SAMPLES,
    answer_row,
    calibrated,
    graph_digest,
    in_best_range,
    static_gain,
)
from search.gains.whole_model import WholeModel, worth_trying
from search.space.candidate import RUNTIME, Decision
from search.subject import Draft, Subject
from search.techniques.base import Technique, TechniqueOptions

PREFIX = "precision:"
CALIBRATION = "calibration"
Method = Literal["minmax", "percentile", "entropy"]
Activations = Literal["uint8", "int8"]

NEVER_PAYS = "not asked: never faster than fp32 when the device was probed"

# What stands in where a fused operator has no kernel for the value.
_NEXT_BEST = {Precision.INT8: Precision.INT8_DYNAMIC}


class PrecisionOptions(TechniqueOptions):
    """``choices`` of each layer, the ``calibration`` method (several make a decision of it) and its number of samples,
    and how values become integers; ``activations: auto`` asks the device."""

    choices: tuple[Precision, ...] = tuple(Precision)
    calibration: tuple[Method, ...] = Field(("minmax",), min_length=1)
    calibration_samples: int = Field(SAMPLES, ge=1)
    activations: Literal["auto", "uint8", "int8"] = "auto"
    per_channel: bool = True
    block_size: Literal[16, 32, 64, 128, 256] = 32

    @field_validator("calibration", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class PrecisionTechnique(Technique):
    """Quantises each layer group as its decision says.

    Groups are what the runtime computes together: a residual sum with the convolutions that feed it, the products of
    one input. Values that the device runs slower than fp32 for every layer are left out of the space, unless the whole
    model says otherwise, or the job wants size or memory. What nobody answered about stays.
    """

    Options = PrecisionOptions
    options: PrecisionOptions

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        super().__init__(subject, options)
        self._quantizers: Recent[tuple[str, ...], Quantizer] = Recent(lambda made: made.size_bytes)

    def decisions(self, device: Device | None) -> list[Decision]:
        """One a layer group that can be quantised, and ``calibration`` where several methods are asked for.

        The device's runtimes share the decisions: a value is there if one of them gains by it.
        """
        pays = set(self.options.choices) if device is None else self._paying_somewhere(device)
        found = []
        for group in self.subject.groups:
            values = [p.value for p in group.precisions if p is Precision.FP32 or p in pays]
            if len(values) > 1:
                found.append(Decision(PREFIX + group.name, tuple(values), "precision"))
        if found and len(self.options.calibration) > 1 and Precision.INT8 in pays:
            found.append(Decision(CALIBRATION, self.options.calibration, CALIBRATION))
        return found

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """See :meth:`Technique.apply`. A precision that a fused operator lacks becomes the next best that it has."""
        assignment = {name: Precision(value) for name, value in self.formats(draft, values).items()}
        if not assignment:
            return draft
        method = values.get(CALIBRATION, self.options.calibration[0])
        static = Precision.INT8 in assignment.values()
        scheme = self.scheme_of(values.get(RUNTIME)) if static else self._dynamic_scheme(values.get(RUNTIME))
        return replace(draft, model=self._quantizer(draft, method if static else None, scheme).apply(assignment))

    def formats(self, draft: Draft, values: Mapping[str, str]) -> dict[str, str]:
        """See :meth:`Technique.formats`."""
        wanted = {g.name: carried_out(g, Precision(values.get(PREFIX + g.name, Precision.FP32))) for g in draft.groups}
        return {name: one.value for name, one in wanted.items() if one is not Precision.FP32}

    def scheme_of(self, runtime: str | None) -> Scheme:
        """The number formats of candidates that ``runtime`` (None: the first) of the job's first device executes.

        As was chosen when the devices were asked; ONNX Runtime's, where nobody was, is ``uint8``. Raises
        :class:`BuildFailed` where any other runtime was not asked: another format would be another file.
        """
        family = runtime_of(runtime or self.subject.profile.runtime).family
        chosen = self.subject.formats.get(family)
        if chosen is not None:
            return Scheme(**chosen)
        if family not in ASKED_BY_LAYER:
            raise BuildFailed(
                f"the job does not know which number format runtime {runtime or self.subject.profile.runtime!r} wants",
                "run the job anew",
            )
        return self._base

    def _dynamic_scheme(self, runtime: str | None) -> Scheme:
        """That of candidates without static int8: products of integers saturate in dynamic int8 too."""
        chosen = self.subject.formats.get(runtime_of(runtime or self.subject.profile.runtime).family, {})
        return replace(self._base, reduce_range=bool(chosen.get("reduce_range")))

    def _quantizer(self, draft: Draft, method: str | None, scheme: Scheme) -> Quantizer:
        """``method`` is that of static int8, ``scheme`` what the candidate's runtime wants."""
        key = (draft.digest, graph_digest(draft.model), method or "", repr(scheme))

        def make() -> Quantizer:
            ranges = None if method is None else calibrated(self.subject, draft, method, self._samples)
            return Quantizer(draft.model, draft.groups, ranges, scheme)

        return self._quantizers.get(key, make)

    @property
    def _samples(self) -> int:
        return self.options.calibration_samples

    @property
    def _base(self) -> Scheme:
        """The number formats that nobody is asked about."""
        return self._scheme("int8" if self.options.activations == "int8" else "uint8")

    @property
    def _formats(self) -> RuntimeFormats:
        return RuntimeFormats(
            self.subject,
            self._scheme("uint8"),
            tuple(self.options.choices),
            self.options.calibration[0],
            self._samples,
            self.options.activations,
        )

    def _paying_somewhere(self, device: Device) -> set[Precision]:
        """The precisions that pay in any of the device's runtimes; what becomes of them in the others is noted."""
        chosen = device.profile.runtime in kept_runtimes(self.subject, device.profile)
        found = self._formats.ask(device, self._paying(device) if chosen else ())
        self.answers += found.answers
        self.replacements += found.replacements
        return found.pays

    def _scheme(self, activations: Activations) -> Scheme:
        return Scheme(
            activation_type=activations,
            per_channel_weights=self.options.per_channel,
            block_size=self.options.block_size,
        )

    def _paying(self, device: Device) -> set[Precision]:
        """The precisions that are not slower than fp32 for every layer, with the activations that the device likes."""
        small = self.subject.small
        known = self.subject.capabilities.get(device.profile.digest)
        hopeless = hopeless_precisions(known, self.subject.groups, small=small)
        self.answers += [
            {"layer": "all", "precision": p.value, "reason": NEVER_PAYS} for p in self.options.choices if p in hopeless
        ]
        asked = [p for p in self.options.choices if p is not Precision.FP32 and p not in hopeless]
        scheme = self._first_scheme(device, static=Precision.INT8 in asked)
        layers = LayerGains(self.subject, device)
        gains = layers.ask(asked, scheme, small=small)
        self.answers += [asdict(gain) for gain in gains]
        pays = {gain.precision for gain in gains if gain.pays(small=small)}
        unsure = layers.unasked | {Precision.INT8}
        return pays | {p for p in asked if p in unsure - pays and self._pays_everywhere(device, p, scheme)}

    def _pays_everywhere(self, device: Device, precision: Precision, scheme: Scheme) -> bool:
        """Whether the whole model says of a precision that it is worth trying, where single layers do not: static int8
        pays there for entering and leaving integers at each layer, and some layers cannot be asked about alone."""
        if not any(precision in group.precisions for group in self.subject.groups):
            return False
        model, first = WholeModel(self.subject, device), device.profile.runtime
        if precision is Precision.INT8:
            answer = static_gain(model, first, scheme, self.options.calibration[0], self._samples)
        else:
            answer = self._formats.everywhere(model, precision, first)
        row = answer_row(first, precision, scheme if precision is Precision.INT8 else None, answer)
        self.answers += [row] if row not in self.answers else []
        return worth_trying(answer, 1.0, small=self.subject.small)

    def _first_scheme(self, device: Device, *, static: bool) -> Scheme:
        """The number formats of files for the first runtime of the job's first device, which alone is asked."""
        family = runtime_of(self.subject.profile.runtime).family
        if device.profile.digest != self.subject.profile.digest:
            return Scheme(**self.subject.formats.get(family, asdict(self._base)))
        found = self._asked_first(device) if static else self._base
        self.subject.formats[family] = asdict(found)
        return found

    def _asked_first(self, device: Device) -> Scheme:
        """What the device's first runtime wants.

        ONNX Runtime is asked which activations it likes: with which the whole model in static int8 is fastest. Alone, a
        convolution may be as fast with either, while the sums and pools between convolutions are not.
        """
        first = device.profile.runtime
        if runtime_of(first).family not in ASKED_BY_LAYER:
            scheme, answers = self._formats.ask_first(device)
            self.answers += answers
            return scheme
        possible = any(Precision.INT8 in group.precisions for group in self.subject.groups)
        if not possible:
            return self._base
        model, ratios = WholeModel(self.subject, device), {}
        if self.options.activations != "auto":
            return self._in_best_range(model, self._base)
        for kind in get_args(Activations):
            scheme = self._scheme(kind)
            answer = static_gain(model, first, scheme, self.options.calibration[0], self._samples)
            ratios[kind] = answer.get("ratio", 0.0)
            self.answers.append(answer_row(first, Precision.INT8, scheme, answer))
        return self._in_best_range(model, self._scheme(max(get_args(Activations), key=lambda kind: ratios[kind])))

    def _in_best_range(self, model: WholeModel, scheme: Scheme) -> Scheme:
        """With weights of 7 bits where the device's first runtime is right with these alone."""
        if not may_saturate(model.device.profile):
            return scheme
        first = model.device.profile.runtime
        found = in_best_range(model, first, scheme, self.options.calibration[0], self._samples)
        rows = [answer_row(first, Precision.INT8, one, answer) for one, answer in found]
        self.answers = [
            row for row in self.answers if row["layer"] != "all" or _asked_as(row) not in map(_asked_as, rows)
        ]
        self.answers += rows
        return found[0][0]


def _asked_as(row: dict[str, Any]) -> tuple[Any, ...]:
    return row.get("runtime"), row["precision"], row.get("activations")


def carried_out(group: LayerGroup, wanted: Precision) -> Precision:
    """What a value comes to for a group: itself, the next best that the group has, or fp32."""
    if wanted not in group.precisions:
        wanted = _NEXT_BEST.get(wanted, Precision.FP32)
    return wanted if wanted in group.precisions else Precision.FP32
