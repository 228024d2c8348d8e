"""Mixed precision: one decision a layer group, its values what the device gains from."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import onnx
from pydantic import Field, field_validator

from evaluators.calibration import Ranges, calibrate
from evaluators.child import report
from evaluators.device import Device
from evaluators.onnx_model import save_model
from evaluators.quantize import Quantizer, Scheme, activation_tensors
from evaluators.quiet import pause_point
from hwprofiles import Precision, digest_of
from search.candidate import Decision
from search.folders import write_json
from search.techniques.base import Draft, Subject, Technique, TechniqueOptions
from search.techniques.layer_gains import LayerGains, measured_gain

PREFIX = "precision:"
CALIBRATION = "calibration"
Method = Literal["minmax", "percentile", "entropy"]
Activations = Literal["uint8", "int8"]

# What stands in where a fused operator has no kernel for the value.
_NEXT_BEST = {Precision.INT8: Precision.INT8_DYNAMIC}

# Metrics that a precision may be wanted for even where it is not faster.
_FOOTPRINT = {"size_bytes", "peak_memory_bytes"}


class PrecisionOptions(TechniqueOptions):
    """``choices`` of each layer, the ``calibration`` method (several make a decision of it) and its number of samples,
    and how values become integers; ``activations: auto`` asks the device."""

    choices: tuple[Precision, ...] = tuple(Precision)
    calibration: tuple[Method, ...] = Field(("minmax",), min_length=1)
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

    def decisions(self, device: Device | None) -> list[Decision]:
        """One a layer group that can be quantised, and ``calibration`` where several methods are asked for."""
        pays = set(self.options.choices) if device is None else self._paying(device)
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
            self._quantizers[key] = Quantizer(draft.model, draft.groups, ranges, self._scheme(self._activations))
        return self._quantizers[key]

    def _ranges(self, draft: Draft, method: str, graph: str) -> Ranges:
        """Calibrated once for a model, its data and a method, whatever job asks."""
        tensors = sorted(activation_tensors(draft.model, draft.groups))
        name = digest_of([self.subject.digest, graph, tensors, method, self.options.calibration_samples])
        path = self.subject.cache / "calibration" / f"{name}.json"
        if path.exists():
            return Ranges.from_dict(json.loads(path.read_text()))
        report(f"calibrating activations ({method})")
        batches = self.subject.calibration_batches(self.options.calibration_samples)
        ranges = calibrate(draft.model, batches, tensors, method, between_batches=pause_point)  # type: ignore[arg-type]
        write_json(path, ranges.to_dict())
        return ranges

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
        asked = [p for p in self.options.choices if p is not Precision.FP32]
        if self.options.activations == "auto" and Precision.INT8 in asked:
            if not self._answers_path.exists():
                write_json(self._answers_path, self._ask_activations(device))
            self.answers += self._stored_answers["answers"]
        gains = LayerGains(self.subject, device).ask({p: [self._scheme(self._activations)] for p in asked})
        self.answers += [asdict(gain) for gain in gains]
        small = bool(self.subject.wanted & _FOOTPRINT)
        return {gain.precision for gain in gains if (gain.runs if small else not gain.slower)}

    def _ask_activations(self, device: Device) -> dict[str, Any]:
        """The activation type that is ``liked``: with which the whole model in static int8 is fastest.

        Asked of the whole model: alone, a convolution may be as fast with either, while the sums and pools between
        convolutions are not.
        """
        everything = {g.name: Precision.INT8 for g in self.subject.groups if Precision.INT8 in g.precisions}
        if not everything:
            return {"liked": "uint8", "answers": []}
        draft = Draft(self.subject.model, self.subject.groups)
        ranges = self._ranges(draft, self.options.calibration[0], _graph_digest(draft.model))
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


def _graph_digest(model: onnx.ModelProto) -> str:
    """Names a graph's structure; weights belong to the subject's digest."""
    return digest_of([[node.op_type, list(node.input), list(node.output)] for node in model.graph.node])
