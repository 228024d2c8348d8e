"""Which precisions are worth searching in each of a device's runtimes, and the quantisation scheme each wants."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import onnx

from evaluators.devices.device import Device
from evaluators.probing.answers import Answer
from evaluators.processes.sandbox_child import report
from evaluators.quantize import Quantizer, Scheme
from evaluators.runtimes import runtime_of
from hwprofiles import Precision
from search.gains.runtimes import candidate_runtimes, fastest_of_families
from search.gains.static_scheme import answer_row, compare_weight_ranges, measure_best_static
from search.gains.whole_model import WholeModel, worth_trying
from search.space.candidate import Replacement
from search.space.offer import Offer
from search.subject import Draft, Subject

ASKED_BY_LAYER = ("onnxruntime", "null")
"""Families whose activation type :class:`search.techniques.precision.PrecisionTechnique` benchmarks itself."""

# Replaces a value that is not worthwhile, if the replacement is: 8-bit weights and activations, ranges found otherwise.
_NEAREST = {Precision.INT8: Precision.INT8_DYNAMIC, Precision.INT8_DYNAMIC: Precision.INT8}


@dataclass(frozen=True)
class PrecisionGains:
    """The result of benchmarking precisions in a device's runtimes."""

    worthwhile: set[Precision]
    """Precisions worth searching in at least one runtime."""
    replacements: list[Replacement]
    """What replaces them in the runtimes where they are not worthwhile."""
    answers: list[dict[str, Any]]
    """The measurements, as they are shown."""
    static_schemes: dict[str, Scheme]
    """The quantisation scheme of static int8 by family of runtimes."""


class RuntimePrecisions:
    """Benchmarks precisions in the runtimes that a candidate may choose, apart from the device's first.

    Once for each family of kernels, and with the whole model: in single layers, converting to and from integers would
    count each time. ``base`` is the scheme apart from static activations, which ``activations`` other than ``auto``
    restricts.
    """

    def __init__(
        self, subject: Subject, base: Scheme, choices: tuple[Precision, ...], method: str, samples: int,
        activations: str,
    ) -> None:  # fmt: skip
        self._subject, self._base, self._choices = subject, base, choices
        self._method, self._samples, self._activations = method, samples, activations

    def ask(self, device: Device, worthwhile: Collection[Precision], earlier: Offer) -> PrecisionGains:
        """Benchmarks all runtimes that stay in ``earlier``, in minutes.

        ``worthwhile`` are the precisions that are so in the device's first runtime. Benchmarks only the job's first
        device: files have its quantisation schemes.
        """
        subject, profile = self._subject, device.profile
        speedups = candidate_runtimes(subject, profile, earlier)
        fastest = fastest_of_families(speedups, profile.runtime)
        gains = PrecisionGains(set(worthwhile) if profile.runtime in speedups else set(), [], [], {})
        if profile.digest != subject.profile.digest or not fastest:
            return gains
        by_family = {runtime_of(profile.runtime).family: set(worthwhile)}
        model = WholeModel(subject, device)
        for family, spec in fastest.items():
            by_family[family] = self._ask_family(model, family, spec, speedups[spec], gains)
        for precisions in by_family.values():
            gains.worthwhile.update(precisions)
        for spec in speedups:
            own = by_family[runtime_of(spec).family]
            for precision in Precision:
                if precision in gains.worthwhile - own and precision is not Precision.FP32:
                    nearest = _NEAREST.get(precision)
                    instead = nearest if nearest in own and nearest is not None else Precision.FP32
                    gains.replacements.append(Replacement(spec, "precision", precision.value, instead.value))
        return gains

    def ask_first(self, device: Device) -> tuple[Scheme, list[dict[str, Any]]]:
        """Benchmarks static int8 in the device's first runtime (not ONNX Runtime); the best scheme, and the answer."""
        first = device.profile.runtime
        scheme, answer = self._measure_static(WholeModel(self._subject, device), first)
        return scheme or self._base, [answer_row(first, Precision.INT8, scheme, answer)]

    def _measure_static(self, model: WholeModel, spec: str) -> tuple[Scheme | None, Answer]:
        scheme, answer = measure_best_static(model, spec, self._base, self._method, self._samples, self._activations)
        if scheme is None:
            return None, answer
        return compare_weight_ranges(model, spec, scheme, self._method, self._samples)[0]

    def _ask_family(
        self, model: WholeModel, family: str, spec: str, fp32: float, gains: PrecisionGains
    ) -> set[Precision]:  # fmt: skip
        """Returns the worthwhile precisions of a family of runtimes, measured in its fastest member ``spec``."""
        worthwhile: set[Precision] = set()
        gains.static_schemes[family] = self._base
        for precision in (choice for choice in self._choices if choice is not Precision.FP32):
            scheme: Scheme | None = None
            if precision is Precision.INT8:
                scheme, answer = self._measure_static(model, spec)
                gains.static_schemes[family] = scheme or self._base
            else:
                answer = self.measure_everywhere(model, precision, spec)
            gains.answers.append(answer_row(spec, precision, scheme, answer))
            if worth_trying(answer, fp32, small=self._subject.small):
                worthwhile.add(precision)
        return worthwhile

    def measure_everywhere(self, model: WholeModel, precision: Precision, spec: str) -> Answer:
        """Measures the whole model in a runtime with a precision (not static int8) in all layers that can have it."""
        subject = self._subject
        groups = {group.name: precision for group in subject.groups if precision in group.precisions}
        if not groups:
            return {"reason": "no layer can have it"}
        draft = Draft(subject.model, subject.groups)

        def build() -> onnx.ModelProto:
            return Quantizer(draft.model, draft.groups, None, self._base).apply(groups)

        report(f"benchmarking {precision} on {spec}")
        return model.measure_gain(["everywhere", precision, asdict(self._base)], build, spec)
