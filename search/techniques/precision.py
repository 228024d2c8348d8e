"""Mixed precision: one decision a layer group, its values what the device gains from."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from pydantic import Field, field_validator

from evaluators.calibration import Ranges, calibrate
from evaluators.child import report
from evaluators.device import Device
from evaluators.latency import Protocol
from evaluators.layers import LayerGroup
from evaluators.onnx_model import save_model
from evaluators.quantize import Quantizer, Scheme, activation_tensors
from evaluators.quiet import pause_point
from evaluators.single_layer import LayerProbe, layer_probes
from hwprofiles import Precision, digest_of
from hwprofiles.errors import CandidateError
from search.candidate import Decision
from search.techniques.base import Draft, Subject, Technique, TechniqueOptions

PREFIX = "precision:"
CALIBRATION = "calibration"
Method = Literal["minmax", "percentile", "entropy"]

# What stands in where a fused operator has no kernel for the value.
_NEXT_BEST = {Precision.INT8: Precision.INT8_DYNAMIC}

# Metrics that a precision may be wanted for even where it is not faster.
_FOOTPRINT = {"size_bytes", "peak_memory_bytes"}


class PrecisionOptions(TechniqueOptions):
    """``choices`` of each layer, the ``calibration`` method (several make a decision of it) and its number of samples,
    and how values become integers; ``activations: auto`` asks the device."""

    choices: tuple[Precision, ...] = tuple(Precision)
    calibration: tuple[Method, ...] = ("minmax",)
    calibration_samples: int = Field(128, ge=1)
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
        self._quantizers: dict[tuple[str, str], Quantizer] = {}
        self.answers: list[dict[str, Any]] = []
        """What the device answered: ``layer``, ``precision``, ``activations``, ``ratio``, ``ci95`` each."""

    def decisions(self, device: Device | None) -> list[Decision]:
        """One a layer group that can be quantised, and ``calibration`` where several methods are asked for."""
        pays = {p for p in self.options.choices} if device is None else self._paying(device)
        found = []
        for group in self.subject.groups:
            values = [p.value for p in group.precisions if p is Precision.FP32 or (p in self.options.choices and p in pays)]
            if len(values) > 1:
                found.append(Decision(PREFIX + group.name, tuple(values), "precision"))
        if found and len(self.options.calibration) > 1 and Precision.INT8 in pays:
            found.append(Decision(CALIBRATION, self.options.calibration, CALIBRATION))
        return found

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """See :meth:`Technique.apply`."""
        assignment: dict[str, Precision] = {}
        for group in draft.groups:
            wanted = Precision(values.get(PREFIX + group.name, Precision.FP32))
            if wanted not in group.precisions:
                wanted = _NEXT_BEST.get(wanted, Precision.FP32)
            if wanted in group.precisions and wanted is not Precision.FP32:
                assignment[group.name] = wanted
        if not assignment:
            return draft
        method = values.get(CALIBRATION, self.options.calibration[0])
        static = Precision.INT8 in assignment.values()
        return Draft(self._quantizer(draft, method, static=static).apply(assignment), draft.groups)

    def _quantizer(self, draft: Draft, method: str, *, static: bool) -> Quantizer:
        key = (_graph_digest(draft.model), method if static else "")
        if key not in self._quantizers:
            ranges = self._ranges(draft, method, key[0]) if static else None
            self._quantizers[key] = Quantizer(draft.model, draft.groups, ranges, self._scheme)
        return self._quantizers[key]

    def _ranges(self, draft: Draft, method: str, graph: str) -> Ranges:
        """Calibrated once for a model, its data and a method, whatever job asks."""
        tensors = sorted(activation_tensors(draft.model, draft.groups))
        name = digest_of([self.subject.digest, graph, tensors, method, self.options.calibration_samples])
        path = self.subject.cache / "calibration" / f"{name}.json"
        if path.exists():
            return Ranges.from_dict(json.loads(path.read_text()))
        report(f"calibrating activations ({method})")
        batches = self._calibration_batches()
        ranges = calibrate(draft.model, batches, tensors, method, between_batches=pause_point)
        _write(path, ranges.to_dict())
        return ranges

    def _calibration_batches(self) -> list[dict[str, np.ndarray[Any, Any]]]:
        return _batches(self.subject, self.options.calibration_samples)

    @cached_property
    def _scheme(self) -> Scheme:
        return self._scheme_for(self._activation_type)

    def _scheme_for(self, activations: str) -> Scheme:
        return Scheme(
            activation_type="int8" if activations == "int8" else "uint8",
            per_channel_weights=self.options.per_channel,
            block_size=self.options.block_size,
        )

    # What the device likes

    @property
    def _likes_path(self) -> Path:
        name = digest_of([self.subject.digest, self.subject.profile.digest])
        return self.subject.cache / "activations" / f"{name}.json"

    @property
    def _activation_type(self) -> str:
        """The type that :meth:`decisions` found the device to like, for every process of the job."""
        if self.options.activations != "auto":
            return self.options.activations
        return str(json.loads(self._likes_path.read_text())) if self._likes_path.exists() else "uint8"

    def _paying(self, device: Device) -> set[Precision]:
        """The precisions that are not slower than fp32 for every layer; finds the activation type on the way."""
        asked = [p for p in self.options.choices if p is not Precision.FP32]
        probes = layer_probes(self.subject.model, self.subject.groups, _sample(self.subject))
        if not probes:
            return set(asked)
        types = ("uint8", "int8") if self.options.activations == "auto" else (self.options.activations,)
        ratios: dict[tuple[Precision, str], list[tuple[float, float]]] = {}
        with tempfile.TemporaryDirectory(prefix="paretune-probe-") as folder:
            for number, probe in enumerate(probes, 1):
                report(f"asking the device about layer shape {number} of {len(probes)}")
                for precision in asked:
                    for kind in types if precision is Precision.INT8 else types[:1]:
                        answer = self._ask(device, probe, precision, kind, Path(folder))
                        if answer is not None:
                            ratios.setdefault((precision, kind), []).append(answer)
        liked = max(types, key=lambda kind: _mean_ratio(ratios.get((Precision.INT8, kind), [])))
        if self.options.activations == "auto":
            _write(self._likes_path, liked)
        if self.subject.wanted & _FOOTPRINT:
            return set(asked)
        kinds = {p: liked if p is Precision.INT8 else types[0] for p in asked}
        return {p for p in asked if any(high >= 1.0 for _, high in ratios.get((p, kinds[p]), []))}

    def _ask(
        self, device: Device, probe: LayerProbe, precision: Precision, activations: str, folder: Path
    ) -> tuple[float, float] | None:
        """Speed-up of one layer shape and the upper end of its interval; None where it cannot be built or run."""
        if precision not in probe.group.precisions:
            return None
        scheme = self._scheme_for(activations)
        name = digest_of([probe.key, precision, repr(scheme), device.profile.digest, 1])
        path = self.subject.cache / "layers" / f"{name}.json"
        if not path.exists():
            _write(path, self._asked(device, probe, precision, scheme, folder))
        answer: dict[str, Any] = json.loads(path.read_text())
        self.answers.append({"layer": probe.group.name, "precision": precision, "activations": activations, **answer})
        return (answer["ratio"], answer["ci95"][1]) if "ratio" in answer else None

    def _asked(
        self, device: Device, probe: LayerProbe, precision: Precision, scheme: Scheme, folder: Path
    ) -> dict[str, Any]:
        try:
            ranges = None
            if precision is Precision.INT8:
                ranges = calibrate(probe.model, [probe.sample], None, "minmax")
            smaller = Quantizer(probe.model, (probe.group,), ranges, scheme).apply({probe.group.name: precision})
            files = folder / "baseline.onnx", folder / "candidate.onnx"
            save_model(probe.model, files[0])
            save_model(smaller, files[1])
            measured = device.measure(*files, probe.sample, protocol=Protocol().quick(), limit_s=60)
        except CandidateError as error:
            return {"state": error.state, "reason": error.message}
        return {"ratio": measured.ratio, "ci95": list(measured.ratio_ci95)}


def _sample(subject: Subject) -> dict[str, np.ndarray[Any, Any]]:
    return {name: values[: subject.profile.batch] for name, values in subject.calibration.items()}


def _mean_ratio(answers: Sequence[tuple[float, float]]) -> float:
    """Geometric mean, so that a layer twice as fast and one half as fast even out."""
    return float(np.exp(np.mean(np.log([ratio for ratio, _ in answers])))) if answers else 0.0


def _graph_digest(model: onnx.ModelProto) -> str:
    """Names a graph's structure; weights belong to the subject's digest."""
    return digest_of([[node.op_type, list(node.input), list(node.output)] for node in model.graph.node])


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value))
    partial.replace(path)


def _groups_by_name(groups: Sequence[LayerGroup]) -> dict[str, LayerGroup]:
    return {group.name: group for group in groups}
