"""What each of a device's runtimes makes of the precisions: the number format that it wants, and what pays there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import onnx

from evaluators.devices.device import Device
from evaluators.probing.questions import Answer
from evaluators.processes.sandbox_child import report
from evaluators.quantize import Quantizer, Scheme
from evaluators.runtimes import runtime_of
from hwprofiles import Precision
from search.gains.runtimes import fastest_of_families, kept_runtimes
from search.gains.static_scheme import answer_row, best_static, in_best_range
from search.gains.whole_model import WholeModel, worth_trying
from search.space.candidate import Replacement
from search.subject import Draft, Subject

ASKED_BY_LAYER = ("onnxruntime", "null")
"""Families whose activation type :class:`search.techniques.precision.PrecisionTechnique` asks for itself."""

# What stands in, where it pays, for a value that does not: 8 bits on both sides, however the ranges are found.
_NEAREST = {Precision.INT8: Precision.INT8_DYNAMIC, Precision.INT8_DYNAMIC: Precision.INT8}


@dataclass(frozen=True)
class Found:
    """The precisions that pay in some runtime, what becomes of the others in each, and the answers behind it."""

    pays: set[Precision]
    replacements: list[Replacement]
    answers: list[dict[str, Any]]


class RuntimeFormats:
    """Asks for the runtimes that a candidate may choose besides the device's first, a family of kernels at a time and
    about the whole model: single layers would pay for entering and leaving integers each.

    ``base`` are the number formats apart from static activations; ``activations`` other than ``auto`` narrow those.
    """

    def __init__(
        self, subject: Subject, base: Scheme, choices: tuple[Precision, ...], method: str, samples: int,
        activations: str,
    ) -> None:  # fmt: skip
        self._subject, self._base, self._choices = subject, base, choices
        self._method, self._samples, self._activations = method, samples, activations

    def ask(self, device: Device, pays: Collection[Precision]) -> Found:
        """What pays where, given what ``pays`` in the device's first runtime.

        Only the job's first device is asked: it is whose number formats the files have.
        """
        subject, profile = self._subject, device.profile
        kept = kept_runtimes(subject, profile)
        others = fastest_of_families(kept, profile.runtime)
        found = Found(set(pays) if profile.runtime in kept else set(), [], [])
        if profile.digest != subject.profile.digest or not others:
            return found
        paying = {runtime_of(profile.runtime).family: set(pays)}
        model = WholeModel(subject, device)
        for family, spec in others.items():
            paying[family] = self._ask_family(model, family, spec, kept[spec], found)
        for precisions in paying.values():
            found.pays.update(precisions)
        for spec in kept:
            own = paying[runtime_of(spec).family]
            for precision in Precision:
                if precision in found.pays - own and precision is not Precision.FP32:
                    nearest = _NEAREST.get(precision)
                    instead = nearest if nearest in own and nearest is not None else Precision.FP32
                    found.replacements.append(Replacement(spec, "precision", precision.value, instead.value))
        return found

    def ask_first(self, device: Device) -> tuple[Scheme, list[dict[str, Any]]]:
        """The number format that the device's first runtime wants, with the answer, where that is not ONNX Runtime."""
        first = device.profile.runtime
        scheme, answer = self._static(WholeModel(self._subject, device), first)
        return scheme or self._base, [answer_row(first, Precision.INT8, scheme, answer)]

    def _static(self, model: WholeModel, spec: str) -> tuple[Scheme | None, Answer]:
        scheme, answer = best_static(model, spec, self._base, self._method, self._samples, self._activations)
        if scheme is None:
            return None, answer
        return in_best_range(model, spec, scheme, self._method, self._samples)[0]

    def _ask_family(self, model: WholeModel, family: str, spec: str, fp32: float, found: Found) -> set[Precision]:
        """The precisions that pay in a family of runtimes, asked of its fastest member ``spec``."""
        pays: set[Precision] = set()
        self._subject.formats[family] = asdict(self._base)
        for precision in (one for one in self._choices if one is not Precision.FP32):
            scheme: Scheme | None = None
            if precision is Precision.INT8:
                scheme, answer = self._static(model, spec)
                self._subject.formats[family] = asdict(scheme or self._base)
            else:
                answer = self.everywhere(model, precision, spec)
            found.answers.append(answer_row(spec, precision, scheme, answer))
            if worth_trying(answer, fp32, small=self._subject.small):
                pays.add(precision)
        return pays

    def everywhere(self, model: WholeModel, precision: Precision, spec: str) -> Answer:
        """What the whole model gains in a runtime by a precision in all layers that can have it, static int8 aside."""
        subject = self._subject
        groups = {group.name: precision for group in subject.groups if precision in group.precisions}
        if not groups:
            return {"reason": "no layer can have it"}
        draft = Draft(subject.model, subject.groups)

        def build() -> onnx.ModelProto:
            return Quantizer(draft.model, draft.groups, None, self._base).apply(groups)

        report(f"asking the device about {precision} in {spec}")
        return model.gain(["everywhere", precision, asdict(self._base)], build, spec)
