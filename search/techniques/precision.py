"""Mixed precision: one decision a layer group, its values what the device gains from."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from evaluators.capability import hopeless_precisions
from evaluators.child import report
from evaluators.device import Device
from evaluators.layer_answers import measured_gain
from evaluators.layers import LayerGroup
from evaluators.onnx_model import save_model
from evaluators.quantize import Quantizer, Scheme
from evaluators.runtimes import runtime_of
from hwprofiles import Precision, digest_of
from search.candidate import RUNTIME, Decision
from search.folders import write_json
from search.techniques.base import Draft, Subject, Technique, TechniqueOptions
from search.techniques.layer_gains import LayerGains
from search.techniques.number_formats import SAMPLES, calibrated, graph_digest
from search.techniques.runtime_formats import ASKED_BY_LAYER, RuntimeFormats
from search.techniques.runtimes import kept_runtimes

PREFIX = "precision:"
CALIBRATION = "calibration"
Method = Literal["minmax", "percentile", "entropy"]
Activations = Literal["uint8", "int8"]

NEVER_PAYS = "not asked: never faster than fp32 when the device was probed"

# What stands in where a fused operator has no kernel for the value.
_NEXT_BEST = {Precision.INT8: Precision.INT8_DYNAMIC}

# Metrics that a precision may be wanted for even where it is not faster.
_FOOTPRINT = {"size_bytes", "peak_memory_bytes"}


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
    one input. Values that the device runs slower than fp32 for every layer are left out of the space, unless the job
    wants size or memory.
    """

    Options = PrecisionOptions
    options: PrecisionOptions

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        super().__init__(subject, options)
        self._quantizers: dict[tuple[str, str, str], Quantizer] = {}

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
        assignment: dict[str, Precision] = {}
        for group in draft.groups:
            precision = carried_out(group, Precision(values.get(PREFIX + group.name, Precision.FP32)))
            if precision is not Precision.FP32:
                assignment[group.name] = precision
        if not assignment:
            return draft
        method = values.get(CALIBRATION, self.options.calibration[0])
        static = Precision.INT8 in assignment.values()
        scheme = self._formats.scheme_of(values.get(RUNTIME)) if static else None
        return Draft(self._quantizer(draft, method if static else None, scheme).apply(assignment), draft.groups)

    def scheme_of(self, runtime: str | None) -> Scheme:
        """The number formats of candidates that ``runtime`` (None: the device's first) executes."""
        return self._formats.scheme_of(runtime) or self._scheme(self._activations)

    def _quantizer(self, draft: Draft, method: str | None, scheme: Scheme | None) -> Quantizer:
        """``method`` is that of static int8, ``scheme`` what the candidate's runtime wants (None: the first one's)."""
        scheme = scheme or self._scheme(self._activations)
        key = (graph_digest(draft.model), method or "", repr(scheme))
        if key not in self._quantizers:
            ranges = None if method is None else calibrated(self.subject, draft, method, self._samples)
            self._quantizers[key] = Quantizer(draft.model, draft.groups, ranges, scheme)
        return self._quantizers[key]

    @property
    def _samples(self) -> int:
        return self.options.calibration_samples

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

    @property
    def _answers_path(self) -> Path:
        """Where what the device likes is left for the job's other processes."""
        key = digest_of([self.subject.digest, self.subject.profile.digest, self.options.model_dump(mode="json")])
        return self.subject.cache / "activations" / f"{key}.json"

    @property
    def _activations(self) -> Activations:
        if self.options.activations != "auto":
            return self.options.activations
        return "int8" if self._stored_answers["liked"] == "int8" else "uint8"

    @property
    def _stored_answers(self) -> dict[str, Any]:
        if not self._answers_path.exists():
            return {"liked": "uint8", "answers": []}
        stored: dict[str, Any] = json.loads(self._answers_path.read_text())
        return stored

    def _paying(self, device: Device) -> set[Precision]:
        """The precisions that are not slower than fp32 for every layer, with the activations that the device likes."""
        small = bool(self.subject.wanted & _FOOTPRINT)
        known = self.subject.capabilities.get(device.profile.digest)
        hopeless = hopeless_precisions(known, self.subject.groups, small=small)
        self.answers += [
            {"layer": "all", "precision": p.value, "reason": NEVER_PAYS} for p in self.options.choices if p in hopeless
        ]
        asked = [p for p in self.options.choices if p is not Precision.FP32 and p not in hopeless]
        scheme = self._first_scheme(device, static=Precision.INT8 in asked)
        gains = LayerGains(self.subject, device).ask({p: [scheme] for p in asked})
        self.answers += [asdict(gain) for gain in gains]
        return {gain.precision for gain in gains if (gain.runs if small else not gain.slower)}

    def _first_scheme(self, device: Device, *, static: bool) -> Scheme:
        """The number formats that the device's first runtime wants."""
        if static and runtime_of(device.profile.runtime).family not in ASKED_BY_LAYER:
            scheme, answers = self._formats.ask_first(device)
            self.answers += answers
            return scheme
        if static and self.options.activations == "auto":
            asked = self._answers_path.exists()
            if not asked:
                write_json(self._answers_path, self._ask_activations(device))
            if not asked or device.profile == self.subject.profile:  # a job's further devices are not asked
                self.answers += self._stored_answers["answers"]
        return self._scheme(self._activations)

    def _ask_activations(self, device: Device) -> dict[str, Any]:
        """The activation type that is ``liked``: with which the whole model in static int8 is fastest.

        Asked of the whole model: alone, a convolution may be as fast with either, while the sums and pools between
        convolutions are not.
        """
        everything = {g.name: Precision.INT8 for g in self.subject.groups if Precision.INT8 in g.precisions}
        if not everything:
            return {"liked": "uint8", "answers": []}
        draft = Draft(self.subject.model, self.subject.groups)
        ranges = calibrated(self.subject, draft, self.options.calibration[0], self._samples)
        ratios: dict[Activations, float] = {}
        answers = []
        with tempfile.TemporaryDirectory(prefix="paretune-model-") as folder:
            baseline, candidate = Path(folder) / "baseline.onnx", Path(folder) / "candidate.onnx"
            save_model(draft.model, baseline)
            for kind in get_args(Activations):
                report(f"asking the device about {kind} activations")
                quantizer = Quantizer(draft.model, draft.groups, ranges, self._scheme(kind))
                save_model(quantizer.apply(everything), candidate)
                gain = measured_gain(device, baseline, candidate, self.subject.sample)
                ratios[kind] = gain.get("ratio", 0.0)
                answers.append({"layer": "all", "precision": Precision.INT8.value, "activations": kind, **gain})
        return {"liked": max(ratios, key=lambda kind: ratios[kind]), "answers": answers}


def carried_out(group: LayerGroup, wanted: Precision) -> Precision:
    """What a value comes to for a group: itself, the next best that the group has, or fp32."""
    if wanted not in group.precisions:
        wanted = _NEXT_BEST.get(wanted, Precision.FP32)
    return wanted if wanted in group.precisions else Precision.FP32
