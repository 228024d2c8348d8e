"""What a device answers about single layers: how fast one is, and what it gains by a precision.

Every question is a paired measurement of small models by the quick protocol. Answers are named by all that they depend
on, so that models, jobs and the probing of capabilities share them.
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
from evaluators.measuring.latency import Protocol
from evaluators.probing.single_layer import random_feed
from evaluators.probing.yardstick import VERSION as YARDSTICK_VERSION
from evaluators.probing.yardstick import beside_yardstick, yardstick, yardstick_feed
from evaluators.quantize import Quantizer, Scheme
from evaluators.quantize.calibration import calibrate
from evaluators.tensors import Array
from hwprofiles import Precision, digest_of
from hwprofiles.errors import CandidateError, StageTimeout, transient_states

VERSION = 2
"""Part of every answer's name; raised when what is asked changes."""

LIMIT_S = 60.0

QUICK = Protocol().quick()

Answer = dict[str, Any]
"""``ratio`` (baseline time over candidate time) and ``ci95``, ``ms`` and ``baseline_ms`` (medians of that moment), or
the ``reason`` that there is none. ``passing`` where the moment is to blame for what it says."""

_PASSING = (StageTimeout.state, *transient_states())
"""Failures of the moment. They, and what an unhealthy machine answered, are asked about again the next time."""


@dataclass(frozen=True)
class SingleLayer:
    """A layer as a model of its own, and the ``key`` that names what decides its speed
    (:func:`evaluators.probing.single_layer.layer_key`)."""

    key: str
    groups: tuple[LayerGroup, ...]
    model: onnx.ModelProto


class LayerAnswers:
    """Asks one device, and remembers in ``known``, which outlives it where its owner wants that; in ``passing`` what is
    to be asked again, which is not to outlive the process.

    Used from one thread; closed by its owner, or left as a context.
    """

    def __init__(
        self,
        device: Device,
        known: MutableMapping[str, Answer],
        protocol: Protocol = QUICK,
        passing: MutableMapping[str, Answer] | None = None,
    ) -> None:
        self.device = device
        self.asked = 0
        """Questions that the device had to answer; the others were known."""
        self._known, self._protocol = known, protocol
        self._passing: MutableMapping[str, Answer] = {} if passing is None else passing
        self._folder = tempfile.TemporaryDirectory(prefix="paretune-layer-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes the files of the models asked about."""
        self._folder.cleanup()

    def gain(
        self,
        layer: SingleLayer,
        precision: Precision,
        scheme: Scheme,
        runtime: str | None = None,
        feed: Mapping[str, Array] | None = None,
    ) -> Answer:
        """What the layer gains by a precision in ``runtime`` (None: the device's first) over fp32 in the first.

        ``feed`` is needed where the model's inputs have no fixed shapes.
        """
        name = self._name("gain", layer.key, precision, repr(scheme), runtime or "")
        return self._answer(name, lambda: self._gain(layer, precision, scheme, runtime, feed))

    def yardsticks(self, layer: SingleLayer, feed: Mapping[str, Array] | None = None) -> Answer:
        """The layer's time as a multiple of the yardstick's: the answer's ``yardsticks``, with ``ci95`` of that.

        ``feed`` is needed where the model's inputs have no fixed shapes.
        """
        name = self._name("yardsticks", YARDSTICK_VERSION, layer.key)
        return self._answer(name, lambda: self._yardsticks(layer.model, feed))

    def knows_gain(self, layer: SingleLayer, precision: Precision, scheme: Scheme, runtime: str | None = None) -> bool:
        """Whether :meth:`gain` would answer without asking."""
        return self._knows(self._name("gain", layer.key, precision, repr(scheme), runtime or ""))

    def knows_yardsticks(self, layer: SingleLayer) -> bool:
        """Whether :meth:`yardsticks` would answer without asking."""
        return self._knows(self._name("yardsticks", YARDSTICK_VERSION, layer.key))

    def _name(self, *question: Any) -> str:
        return digest_of([VERSION, *question, self.device.profile.digest, repr(asdict(self._protocol))])

    def _knows(self, name: str) -> bool:
        return name in self._known or name in self._passing

    def _answer(self, name: str, ask: Any) -> Answer:
        known = remembered(name, self._known, self._passing)
        if known is not None:
            return known
        self.asked += 1
        try:
            self.device.check_time()
            answer: Answer = ask()
        except CandidateError as error:
            answer = no_gain(error)
        if answer.get("reason", "").startswith(_PASSING):
            answer["passing"] = True
        (self._passing if answer.get("passing") else self._known)[name] = answer
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
        return measured_gain(self.device, baseline, candidate, feed, runtime, self._protocol)

    def _yardsticks(self, model: onnx.ModelProto, feed: Mapping[str, Array] | None) -> Answer:
        baseline, candidate = self._files()
        save_model(yardstick(list(model.graph.input)), baseline)
        save_model(beside_yardstick(model), candidate)
        asked = yardstick_feed(random_feed(model) if feed is None else feed)
        answer = measured_gain(self.device, baseline, candidate, asked, None, self._protocol)
        if "reason" in answer:
            return answer
        low, high = answer["ci95"]
        return answer | {"yardsticks": 1 / answer["ratio"], "ci95": [1 / high, 1 / low]}

    def _files(self) -> tuple[Path, Path]:
        folder = Path(self._folder.name)
        return folder / "baseline.onnx", folder / "candidate.onnx"


def in_precision(layer: SingleLayer, precision: Precision, scheme: Scheme) -> onnx.ModelProto:
    """The layer's model with all of its layers in a precision; raises :class:`CandidateError` where that cannot be
    built."""
    if precision is Precision.FP32:
        return layer.model
    ranges = calibrate(layer.model, [random_feed(layer.model)]) if precision is Precision.INT8 else None
    quantizer = Quantizer(layer.model, layer.groups, ranges, scheme)
    return quantizer.apply({group.name: precision for group in layer.groups})


def remembered(name: str, *places: Mapping[str, Answer]) -> Answer | None:
    """The answer of this name in the first of ``places`` that has one, each looked up once: some are folders."""
    return next((found for place in places if (found := place.get(name)) is not None), None)


def no_gain(error: CandidateError) -> Answer:
    """The answer where there is no figure."""
    return {"reason": f"{error.state}: {error.message}"}


def measured_gain(
    device: Device,
    baseline: Path,
    candidate: Path,
    feed: Mapping[str, Array],
    runtime: str | None = None,
    protocol: Protocol = QUICK,
    limit_s: float = LIMIT_S,
) -> Answer:
    """The answer to one question: two files on one feed, the candidate's in ``runtime``."""
    try:
        found = device.measure(baseline, candidate, feed, protocol=protocol, limit_s=limit_s, runtime=runtime)
    except CandidateError as error:
        return no_gain(error)
    answer: Answer = {
        "ratio": found.ratio,
        "ci95": list(found.ratio_ci95),
        "ms": found.metrics()["latency_ms"]["p50"],
        "baseline_ms": found.baseline_metrics()["latency_ms"]["p50"],
    }
    if found.health is not None and found.health.transient:
        answer["passing"] = True
    return answer
