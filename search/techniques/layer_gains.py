"""What a device gains by a precision, layer shape by layer shape: asked of the device, remembered for every job."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from evaluators.calibration import calibrate
from evaluators.child import report
from evaluators.device import Device
from evaluators.latency import Protocol
from evaluators.layers import LayerGroup, layer_groups
from evaluators.onnx_model import save_model
from evaluators.quantize import Quantizer, Scheme
from evaluators.runtimes.base import Array
from evaluators.shapes import tensor_shapes
from evaluators.single_layer import extract_layer, layer_key, random_feed
from hwprofiles import Precision, digest_of
from hwprofiles.errors import CandidateError, StageTimeout, UnhealthyMeasurement
from search.folders import write_json
from search.techniques.base import Subject

LIMIT_S = 60.0

_PASSING = (UnhealthyMeasurement.state, StageTimeout.state)
"""Failures of the moment, which are asked about again the next time."""

VERSION = 1
"""Part of every answer's name; raised when what is asked changes."""


@dataclass(frozen=True)
class Gain:
    """The speed-up of a layer by a precision on the device, with its interval; None where it does not run there."""

    layer: str
    precision: Precision
    activations: str
    ratio: float | None
    ci95: tuple[float, float] | None
    reason: str = ""

    @property
    def slower(self) -> bool:
        """Whether it is clearly slower than fp32, or does not run at all."""
        return self.ci95 is None or self.ci95[1] < 1.0

    @property
    def runs(self) -> bool:
        """Whether the device executes it, however fast; a device too noisy to say how fast does."""
        return self.ci95 is not None or self.reason.startswith(UnhealthyMeasurement.state)


class LayerGains:
    """Asks a device about each layer shape of a model once. Answers lie in the cache, named by layer, number format and
    device, and are shared by all models that have such a layer."""

    def __init__(self, subject: Subject, device: Device) -> None:
        self._subject, self._device = subject, device

    def ask(self, schemes: Mapping[Precision, list[Scheme]]) -> list[Gain]:
        """The gain of every layer shape in every precision and number format that it is possible in."""
        layers = list(self._layers())
        gains: list[Gain] = []
        with tempfile.TemporaryDirectory(prefix="paretune-layer-") as folder:
            for number, (key, group, model) in enumerate(layers, 1):
                report(f"asking the device about layer shape {number} of {len(layers)}")
                for precision, formats in schemes.items():
                    if precision in group.precisions:
                        gains.extend(self._gain(key, group, model, precision, f, Path(folder)) for f in formats)
        return gains

    def _layers(self) -> Iterator[tuple[str, LayerGroup, onnx.ModelProto]]:
        model = self._subject.model
        shapes = tensor_shapes(model, {name: list(values.shape) for name, values in self._subject.sample.items()})
        seen = set()
        for group in self._subject.groups:
            key = layer_key(model, group, shapes)
            if key and key not in seen:
                seen.add(key)
                extracted = extract_layer(model, group, shapes)
                if extracted is not None and (own := layer_groups(extracted)):
                    yield key, own[0], extracted

    def _gain(
        self, key: str, group: LayerGroup, model: onnx.ModelProto, precision: Precision, scheme: Scheme, folder: Path
    ) -> Gain:
        name = digest_of(["layer", VERSION, key, precision, repr(scheme), self._device.profile.digest])
        path = self._subject.cache / "layers" / f"{name}.json"
        answer: dict[str, Any]
        if path.exists():
            answer = json.loads(path.read_text())
        else:
            answer = self._measured(group, model, precision, scheme, folder)
            if not answer.get("reason", "").startswith(_PASSING):
                write_json(path, answer)
        interval = answer.get("ci95")
        return Gain(
            key,
            precision,
            scheme.activation_type,
            answer.get("ratio"),
            interval and tuple(interval),
            answer.get("reason", ""),
        )

    def _measured(
        self, group: LayerGroup, model: onnx.ModelProto, precision: Precision, scheme: Scheme, folder: Path
    ) -> dict[str, Any]:
        feed = random_feed(model)
        baseline, candidate = folder / "baseline.onnx", folder / "candidate.onnx"
        try:
            ranges = calibrate(model, [feed]) if precision is Precision.INT8 else None
            save_model(model, baseline)
            save_model(Quantizer(model, (group,), ranges, scheme).apply({group.name: precision}), candidate)
        except CandidateError as error:
            return {"reason": f"{error.state}: {error.message}"}
        return measured_gain(self._device, baseline, candidate, feed)


def measured_gain(device: Device, baseline: Path, candidate: Path, feed: Mapping[str, Array]) -> dict[str, Any]:
    """``ratio`` and ``ci95`` of a quick measurement, or the ``reason`` that there is none."""
    try:
        measured = device.measure(baseline, candidate, feed, protocol=Protocol().quick(), limit_s=LIMIT_S)
    except CandidateError as error:
        return {"reason": f"{error.state}: {error.message}"}
    return {"ratio": measured.ratio, "ci95": list(measured.ratio_ci95)}
