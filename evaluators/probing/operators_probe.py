"""Probes the capability of a device's runtime, operator by operator."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluators.devices.execution import computes_in_integers, multiplies
from evaluators.devices.node_times import measure_node_times
from evaluators.graphs.model import save_model
from evaluators.probing.answers import Answer
from evaluators.probing.capability import UNASKED, Capability, Sweep, SweepPoint
from evaluators.probing.granularity import granularity
from evaluators.probing.operators import FAMILIES, Family
from evaluators.probing.questions import LIMIT_S, LayerAnswers, SingleLayer, in_precision
from evaluators.probing.single_layer import random_feed
from evaluators.processes.sandbox_child import Progress
from evaluators.quantize import Scheme
from evaluators.runtimes.base import TimedNode
from evaluators.tensors import Arrays
from hwprofiles import Precision, Profile
from hwprofiles.errors import CandidateError

PROBE_S = 180.0
"""Default time limit of probing. Answers are kept; the next call asks only what is missing."""

Nodes = Callable[[Path, Arrays], Sequence[TimedNode]]
"""Returns the nodes that a runtime executes for a model; empty if it does not report them."""


def no_nodes(model: Path, feed: Arrays) -> Sequence[TimedNode]:
    """Returns no nodes, for devices that do not report them."""
    return ()


def local_nodes(profile: Profile) -> Nodes:
    """Returns a function that times the nodes of a model on a device of this machine."""
    return lambda model, feed: measure_node_times(profile, model, feed, limit_s=LIMIT_S)


def probe(
    answers: LayerAnswers,
    *,
    nodes: Nodes = no_nodes,
    families: Sequence[Family] = FAMILIES,
    limit_s: float = PROBE_S,
    progress: Progress = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
) -> Capability:
    """Benchmarks every operator in every precision and width, for at most ``limit_s`` seconds.

    fp32 is timed against the yardstick, other precisions against fp32. A precision that the device does not execute is
    a result, not an error.
    """
    profile = answers.device.profile
    questions = [question for family in families for question in _questions(family)]
    ends_at = clock() + limit_s
    sweeps: list[Sweep] = []
    yardstick_ms: list[float] = []
    with tempfile.TemporaryDirectory(prefix="paretune-probe-") as folder:
        for number, question in enumerate(questions, 1):
            progress(f"probing {question.about}, {number} of {len(questions)}")
            points = []
            for width, layer in question.layers:
                fp32, gain = question.answer(answers, layer, in_time=clock() < ends_at)
                points.append(_point(width, fp32, gain))
                if "baseline_ms" in fp32:
                    yardstick_ms.append(fp32["baseline_ms"])
            executes: tuple[str, ...] = ()
            if clock() < ends_at:
                executes = question.operators(nodes, Path(folder))
            times = {point.width: point.yardsticks for point in points if point.yardsticks is not None}
            sweeps.append(
                Sweep(
                    question.family.name,
                    question.precision,
                    question.activations,
                    tuple(points),
                    granularity(times),
                    executes,
                    _in_integers(executes),
                )
            )
    complete = not any(point.open for sweep in sweeps for point in sweep.points)
    middle = sorted(yardstick_ms)[len(yardstick_ms) // 2] if yardstick_ms else None
    return Capability(profile.digest, profile.runtime, profile.runtime_version, complete, middle, tuple(sweeps))


@dataclass(frozen=True)
class _Question:
    """An operator in one precision, at all widths."""

    family: Family
    precision: Precision
    activations: str
    layers: tuple[tuple[int, SingleLayer], ...]

    @property
    def about(self) -> str:
        return " ".join(word for word in (self.family.name, self.precision.value, self.activations) if word)

    @property
    def scheme(self) -> Scheme:
        return Scheme(activation_type="int8") if self.activations == "int8" else Scheme()

    def answer(self, answers: LayerAnswers, layer: SingleLayer, *, in_time: bool) -> tuple[Answer, Answer | None]:
        """Returns fp32's time against the yardstick, and the precision's against fp32 (None for fp32 itself)."""
        unasked: Answer = {"reason": UNASKED}
        fp32 = answers.yardsticks(layer) if in_time or answers.knows_yardsticks(layer) else unasked
        if self.precision is Precision.FP32:
            return fp32, None
        possible = in_time or answers.knows_gain(layer, self.precision, self.scheme)
        return fp32, answers.gain(layer, self.precision, self.scheme) if possible else unasked

    def operators(self, nodes: Nodes, folder: Path) -> tuple[str, ...]:
        """Returns the operators that the runtime executes for the widest layer, the slowest first."""
        _, layer = self.layers[-1]
        path = folder / "layer.onnx"
        try:
            save_model(in_precision(layer, self.precision, self.scheme), path)
            executed = nodes(path, random_feed(layer.model))
        except CandidateError:
            return ()
        return tuple(dict.fromkeys(node.operator for node in sorted(executed, key=lambda node: -node.ms)))


def _questions(family: Family) -> Iterator[_Question]:
    layers = tuple((width, family.layer(width)) for width in family.widths)
    for precision in layers[0][1].groups[0].precisions:
        for activations in ("uint8", "int8") if precision is Precision.INT8 else ("",):
            yield _Question(family, precision, activations, layers)


def _point(width: int, fp32: Answer, gain: Answer | None) -> SweepPoint:
    yardsticks = fp32.get("yardsticks")
    provisional = bool((fp32 if gain is None else gain).get("transient"))
    if gain is None:
        return SweepPoint(width, None, None, yardsticks, fp32.get("reason", ""), provisional)
    if "ratio" not in gain:
        return SweepPoint(width, None, None, None, gain["reason"], provisional)
    ratio, (low, high) = gain["ratio"], gain["ci95"]
    return SweepPoint(width, ratio, (low, high), None if yardsticks is None else yardsticks / ratio, "", provisional)


def _in_integers(executes: Sequence[str]) -> bool | None:
    integers = [computes_in_integers(operator) for operator in executes if multiplies(operator)]
    return any(integers) if integers else None
