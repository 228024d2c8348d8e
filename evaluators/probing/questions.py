"""Benchmarks single layers on a device: their time, and their speed-up in a precision.

Each question is a paired measurement of two small models by the quick protocol. Answers are stored under a digest of
everything that they depend on, so models, jobs and the probing of capabilities share them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import onnx

from evaluators.devices.device import Device
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.graphs.model import save_model
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.probing.answers import Answer, failure_of, no_gain
from evaluators.probing.single_layer import random_feed
from evaluators.probing.yardstick import VERSION as YARDSTICK_VERSION
from evaluators.probing.yardstick import beside_yardstick, yardstick, yardstick_feed
from evaluators.quantize import Quantizer, Scheme
from evaluators.quantize.calibration import calibrate
from evaluators.tensors import Array
from hwprofiles import Precision, digest_of
from hwprofiles.errors import CandidateError, StageTimeout, transient_states

VERSION = 2
"""Version of the questions; part of every answer's name."""

LIMIT_S = 60.0
"""Time limit of one question."""

QUICK = Protocol().quick()

_TRANSIENT = (StageTimeout.state, *transient_states())
"""Failures that may be due to the machine's state. Such answers are asked for again by the next process."""


@dataclass(frozen=True)
class SingleLayer:
    """A layer as a separate model."""

    key: str
    """Identifies what decides its speed (:func:`evaluators.probing.single_layer.layer_key`)."""
    groups: tuple[LayerGroup, ...]
    model: onnx.ModelProto


class LayerAnswers:
    """Benchmarks layers on one device and caches the answers.

    ``cache`` holds lasting answers; ``transient`` those due to the machine's state, and must not outlive the process.
    Used from one thread, as a context or closed by its owner.
    """

    def __init__(
        self,
        device: Device,
        cache: MutableMapping[str, Answer],
        protocol: Protocol = QUICK,
        transient: MutableMapping[str, Answer] | None = None,
    ) -> None:
        self.device = device
        self._cache, self._protocol = cache, protocol
        self._transient: MutableMapping[str, Answer] = {} if transient is None else transient
        self._folder = tempfile.TemporaryDirectory(prefix="paretune-layer-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes the temporary files of models."""
        self._folder.cleanup()

    def gain(
        self,
        layer: SingleLayer,
        precision: Precision,
        scheme: Scheme,
        runtime: str | None = None,
        feed: Mapping[str, Array] | None = None,
    ) -> Answer:
        """Measures the layer's speed-up in a precision over fp32 in the device's first runtime.

        ``runtime`` executes the precision; None stands for the first. ``feed`` is required if the model's inputs have
        dynamic shapes.
        """
        name = self._name("gain", layer.key, precision, repr(scheme), runtime or "")
        return self._answer(name, lambda: self._gain(layer, precision, scheme, runtime, feed))

    def yardsticks(self, layer: SingleLayer, feed: Mapping[str, Array] | None = None) -> Answer:
        """Measures the layer's time as a multiple of the yardstick's: ``yardsticks`` of the answer, with its ``ci95``.

        ``feed`` is required if the model's inputs have dynamic shapes.
        """
        name = self._name("yardsticks", YARDSTICK_VERSION, layer.key)
        return self._answer(name, lambda: self._yardsticks(layer.model, feed))

    def knows_gain(self, layer: SingleLayer, precision: Precision, scheme: Scheme, runtime: str | None = None) -> bool:
        """Returns whether :meth:`gain` would answer from a cache."""
        return self._knows(self._name("gain", layer.key, precision, repr(scheme), runtime or ""))

    def knows_yardsticks(self, layer: SingleLayer) -> bool:
        """Returns whether :meth:`yardsticks` would answer from a cache."""
        return self._knows(self._name("yardsticks", YARDSTICK_VERSION, layer.key))

    def _name(self, *question: Any) -> str:
        return digest_of([VERSION, *question, self.device.profile.digest, repr(asdict(self._protocol))])

    def _knows(self, name: str) -> bool:
        return name in self._cache or name in self._transient

    def _answer(self, name: str, ask: Any) -> Answer:
        cached = look_up_answer(name, self._cache, self._transient)
        if cached is not None:
            return cached
        try:
            self.device.check_time()
            answer: Answer = ask()
        except CandidateError as error:
            answer = no_gain(error)
        if failure_of(answer) in _TRANSIENT:
            answer["transient"] = True
        (self._transient if answer.get("transient") else self._cache)[name] = answer
        return answer

    def _gain(
        self,
        layer: SingleLayer,
        precision: Precision,
        scheme: Scheme,
        runtime: str | None,
        feed: Mapping[str, Array] | None,
    ) -> Answer:
        feed = random_feed(layer.model) if feed is None else feed
        baseline, candidate = self._files()
        save_model(layer.model, baseline)
        save_model(in_precision(layer, precision, scheme), candidate)
        return measure_gain(self.device, LatencyRequest(baseline, candidate, feed, self._protocol, LIMIT_S, runtime))

    def _yardsticks(self, model: onnx.ModelProto, feed: Mapping[str, Array] | None) -> Answer:
        baseline, candidate = self._files()
        save_model(yardstick(list(model.graph.input)), baseline)
        save_model(beside_yardstick(model), candidate)
        joint_feed = yardstick_feed(random_feed(model) if feed is None else feed)
        answer = measure_gain(self.device, LatencyRequest(baseline, candidate, joint_feed, self._protocol, LIMIT_S))
        if "reason" in answer:
            return answer
        low, high = answer["ci95"]
        return answer | {"yardsticks": 1 / answer["ratio"], "ci95": [1 / high, 1 / low]}

    def _files(self) -> tuple[Path, Path]:
        folder = Path(self._folder.name)
        return folder / "baseline.onnx", folder / "candidate.onnx"


def in_precision(layer: SingleLayer, precision: Precision, scheme: Scheme) -> onnx.ModelProto:
    """Builds the layer's model with all of its layers in a precision; raises :class:`CandidateError` if that fails."""
    if precision is Precision.FP32:
        return layer.model
    ranges = calibrate(layer.model, [random_feed(layer.model)]) if precision is Precision.INT8 else None
    quantizer = Quantizer(layer.model, layer.groups, ranges, scheme)
    return quantizer.apply({group.name: precision for group in layer.groups})


def look_up_answer(name: str, *caches: Mapping[str, Answer]) -> Answer | None:
    """Returns the answer of a name from the first cache that has it; each is read once, since some are folders."""
    return next((answer for cache in caches if (answer := cache.get(name)) is not None), None)


def measure_gain(device: Device, request: LatencyRequest) -> Answer:
    """Measures the speed-up of a candidate; a failure becomes an answer with its reason."""
    try:
        measurement = device.measure(request)
    except CandidateError as error:
        return no_gain(error)
    answer: Answer = {
        "ratio": measurement.ratio,
        "ci95": list(measurement.ratio_ci95),
        "ms": measurement.metrics()["latency_ms"]["p50"],
        "baseline_ms": measurement.baseline_metrics()["latency_ms"]["p50"],
    }
    if measurement.health is not None and measurement.health.transient:
        answer["transient"] = True
    return answer
