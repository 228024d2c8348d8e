"""Makes a layer table: asks a device about each layer of a model, and about the tensors between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import onnx
from onnx import TensorProto, helper

from evaluators.graphs.graph import Graph, is_op
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.run_shapes import shapes_in_run
from evaluators.graphs.shapes import Shape
from evaluators.probing.layer_table import FLOAT, INTEGER, LayerTable, Tensor, Unit, UnitTime
from evaluators.probing.operators import convolutions, products, single_layer
from evaluators.probing.questions import Answer, LayerAnswers, SingleLayer
from evaluators.probing.single_layer import extract_layer, layer_key
from evaluators.processes.sandbox_child import report
from evaluators.quantize import Scheme
from evaluators.quantize.integer_operators import clipping, data_inputs, is_follower
from evaluators.tensors import Arrays
from hwprofiles import Precision
from hwprofiles.errors import NotAsked

SMALL = 4096
"""Tensors of fewer values are converted in no time worth asking about."""

WIDE = 4096
"""Two layers of more features or channels are not joined to price a tensor: their weights are the square of these."""

Values = Mapping[str, Mapping[str, Precision]]
"""For each group, the values of its decision, and the precision that each comes to."""


@dataclass(frozen=True)
class Question:
    """A model to make a table of: its ``name`` (which must name its weights' shapes and wiring by content), the groups
    with what can be decided for each, and one inference's input.

    ``integers_runtime``, where there is one, is asked about static int8 in the place of ``runtime``: a family's integer
    kernels are the same whatever floats are computed in.
    """

    name: str
    model: onnx.ModelProto
    groups: tuple[LayerGroup, ...]
    values: Values
    sample: Arrays
    scheme: Scheme
    runtime: str | None = None
    integers_runtime: str | None = None


def measure_table(
    answers: LayerAnswers,
    question: Question,
    *,
    limit_s: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> LayerTable | None:
    """The table of a model; None where ``limit_s`` seconds were not enough (what was answered is remembered), or where
    the device does not run the fp32 model or the yardstick."""
    return _Timing(answers, question, clock() + limit_s, clock).table()


class _OutOfTime(Exception):
    """The table cannot be finished now."""


class _Timing:
    def __init__(self, answers: LayerAnswers, question: Question, ends_at: float, clock: Callable[[], float]) -> None:
        self._answers, self._question, self._ends_at, self._clock = answers, question, ends_at, clock
        self._graph = Graph(question.model.graph)
        self._shapes = shapes_in_run(question.model, question.sample)
        self._members = list(self._cut_out_units())
        self._ends: dict[tuple[str, Shape], dict[str, float]] = {}
        self._overhead = 0.0

    def table(self) -> LayerTable | None:
        try:
            entire = SingleLayer(f"model {self._question.name}", (), self._question.model)
            fp32 = self._yardsticks(entire, whole=True)
            yardstick_ms = fp32.get("baseline_ms", 0.0)
            whole = self._time(entire, Precision.FP32, fp32, yardstick_ms, whole=True).yardsticks
            empty = SingleLayer("nothing", (), _nothing())
            nothing = self._time(empty, Precision.FP32, self._yardsticks(empty), yardstick_ms).yardsticks
            if whole is None or nothing is None:
                return None
            self._overhead = nothing
            units = []
            for number, (group, nodes, layer) in enumerate(self._members, 1):
                report(f"timing layer {number} of {len(self._members)}")
                units.append(self._unit(group, nodes, layer, yardstick_ms))
            return LayerTable(tuple(units), tuple(self._tensors()), whole, self._overhead, yardstick_ms)
        except _OutOfTime:
            return None

    # Units

    def _cut_out_units(self) -> list[tuple[LayerGroup, tuple[str, ...], SingleLayer]]:
        found = []
        known: dict[str, SingleLayer | None] = {}  # layers of one key are as fast: a large model is not cut up whole
        for group in self._question.groups:
            if group.name not in self._question.values:
                continue
            left = list(group.nodes)
            while left:
                alone = replace(group, nodes=(left[0],))
                together = tuple(name for name in left if self._same_product(left[0], name))
                unit = replace(group, nodes=together) if len(together) > 1 else alone
                left = [name for name in left if name not in unit.nodes]
                key = layer_key(self._question.model, unit, self._shapes)
                if key not in known:
                    known[key] = self._cut_out(key, unit)
                if (layer := known[key]) is not None:
                    found.append((group, unit.nodes, layer))
        return found

    def _cut_out(self, key: str, unit: LayerGroup) -> SingleLayer | None:
        extracted = extract_layer(self._question.model, unit, self._shapes)
        own = () if extracted is None else layer_groups(extracted)
        return SingleLayer(key, own, extracted) if extracted is not None and own else None

    def _same_product(self, one: str, other: str) -> bool:
        first, second = self._node(one), self._node(other)
        products = all(is_op(node, "MatMul", "Gemm") for node in (first, second))
        return one == other or (products and first.input[0] == second.input[0])

    def _unit(self, group: LayerGroup, nodes: tuple[str, ...], layer: SingleLayer, yardstick_ms: float) -> Unit:
        fp32 = self._yardsticks(layer)
        times = {}
        for value, precision in {Precision.FP32.value: Precision.FP32, **self._question.values[group.name]}.items():
            times[value] = self._time(layer, precision, fp32, yardstick_ms)
        tensors = [self._read(self._node(nodes[0])), *(self._node(name).output[0] for name in nodes)]
        ends = [self._ends_of(tensor, group.kind) for tensor in tensors]
        both = {kind: sum(end[kind] for end in ends) for kind in (FLOAT, INTEGER)}
        return Unit(group.name, nodes, layer.key, times, both)

    def _time(
        self, layer: SingleLayer, precision: Precision, fp32: Answer, yardstick_ms: float, *, whole: bool = False
    ) -> UnitTime:
        runtime = self._question.runtime
        if "yardsticks" not in fp32:
            return UnitTime(precision, None, None, None, None, fp32["reason"])
        yardsticks: float = fp32["yardsticks"]
        if precision is Precision.FP32 and runtime is None:
            return UnitTime(precision, yardsticks, yardsticks * yardstick_ms, 1.0, None)
        gain = self._gain(layer, precision, whole)
        if "ratio" not in gain:
            return UnitTime(precision, None, None, None, None, gain["reason"])
        yardsticks /= gain["ratio"]
        low, high = gain["ci95"]
        return UnitTime(precision, yardsticks, yardsticks * yardstick_ms, gain["ratio"], (low, high))

    # Tensors

    def _tensors(self) -> list[Tensor]:
        place = {name: number for number, (_, nodes, _) in enumerate(self._members) for name in nodes}
        flow = self._flow(place)
        readers: dict[str, list[int]] = {}
        for node in self._graph.proto.node:
            if node.name in place:
                readers.setdefault(self._read(node), []).append(place[node.name])
        found = []
        for tensor in dict.fromkeys([*flow, *readers]):
            writers = flow.get(tensor, frozenset({_OUTSIDE}))
            escapes = self._escapes(tensor, place)
            if not (escapes or tensor in readers) or (writers == {_OUTSIDE} and tensor not in readers):
                continue
            inner = sorted(writers - {_OUTSIDE})
            reading = sorted(set(readers.get(tensor, ())))
            kinds = [self._members[number][0].kind for number in (*inner, *reading)]
            ends = self._ends_of(tensor, "Conv" if any("Conv" in kind for kind in kinds) else kinds[0])
            found.append(Tensor(self._size(tensor), tuple(inner), tuple(reading), _OUTSIDE in writers, escapes, ends))
        return found

    def _flow(self, place: Mapping[str, int]) -> dict[str, frozenset[int]]:
        """Which layers' results a tensor carries, through what keeps a format; :data:`_OUTSIDE` for anything else."""
        flow: dict[str, frozenset[int]] = {}
        for node in self._graph.proto.node:
            if node.name in place:
                sources = frozenset({place[node.name]})
            elif self._keeps_format(node):
                data = node.input[:1] if clipping(node, self._graph) is not None else data_inputs(node)
                carried = [name for name in data if name and self._graph.constant_tensor(name) is None]
                sources = frozenset().union(*(flow.get(name, frozenset({_OUTSIDE})) for name in carried))
                if sources <= {_OUTSIDE}:
                    continue
            else:
                continue
            flow.update(dict.fromkeys((name for name in node.output if name), sources))
        return flow

    def _keeps_format(self, node: onnx.NodeProto) -> bool:
        return clipping(node, self._graph) is not None or is_follower(node)

    def _escapes(self, tensor: str, place: Mapping[str, int]) -> bool:
        if tensor in self._graph.outputs or tensor in self._graph.inner_readers:
            return True
        others = (node for node in self._graph.consumers.get(tensor, ()) if node.name not in place)
        return any(not self._keeps_format(node) for node in others)

    def _ends_of(self, tensor: str, kind: str) -> dict[str, float]:
        """What it costs to enter or leave each format at a tensor: half of what joining two layers there saves."""
        shape = self._shapes.get(tensor, ())
        conv = "Conv" in kind
        if self._size(tensor) < SMALL or (conv and len(shape) < 3) or not self._quantised:
            return {FLOAT: 0.0, INTEGER: 0.0}
        if (shape[1 if conv else -1] or 0) > WIDE:
            return {FLOAT: 0.0, INTEGER: 0.0}
        key = ("conv" if conv else "product", shape)
        if key not in self._ends:
            sizes = [dim or 1 for dim in shape]
            build = convolutions if conv else products
            one, two = (single_layer(build(sizes, count=count)) for count in (1, 2))
            self._ends[key] = {
                # A product of floats has no layout of its own.
                FLOAT: self._end(one, two, Precision.FP32) if conv else 0.0,
                INTEGER: self._end(one, two, Precision.INT8),
            }
        return self._ends[key]

    def _end(self, one: SingleLayer, two: SingleLayer, precision: Precision) -> float:
        times = [self._time(layer, precision, self._yardsticks(layer), 1.0).yardsticks for layer in (one, two)]
        if times[0] is None or times[1] is None:
            return 0.0
        return max(0.0, 2 * times[0] - times[1] - self._overhead) / 2

    @property
    def _quantised(self) -> bool:
        return any(Precision.INT8 in values.values() for values in self._question.values.values())

    # Asking

    def _yardsticks(self, layer: SingleLayer, *, whole: bool = False) -> Answer:
        if self._clock() >= self._ends_at and not self._answers.knows_yardsticks(layer):
            raise _OutOfTime
        return _in_time(self._answers.yardsticks(layer, self._question.sample if whole else None))

    def _gain(self, layer: SingleLayer, precision: Precision, whole: bool) -> Answer:
        scheme, runtime = self._question.scheme, self._question.runtime
        if precision is Precision.INT8 and self._question.integers_runtime is not None:
            runtime = self._question.integers_runtime
            runtime = None if runtime == self._answers.device.profile.runtime else runtime
        if self._clock() >= self._ends_at and not self._answers.knows_gain(layer, precision, scheme, runtime):
            raise _OutOfTime
        feed = self._question.sample if whole else None
        return _in_time(self._answers.gain(layer, precision, scheme, runtime, feed))

    def _node(self, name: str) -> onnx.NodeProto:
        return next(node for node in self._graph.proto.node if node.name == name)

    @staticmethod
    def _read(node: onnx.NodeProto) -> str:
        return str(node.input[1 if is_op(node, "Gather") else 0])

    def _size(self, tensor: str) -> int:
        return math.prod(dim or 0 for dim in self._shapes.get(tensor, (0,)))


_OUTSIDE = -1


def _in_time(answer: Answer) -> Answer:
    """An answer that the device had time for."""
    if str(answer.get("reason", "")).startswith(NotAsked.state):
        raise _OutOfTime
    return answer


def _nothing() -> onnx.ModelProto:
    """A model that computes next to nothing: what is left is the price of a call."""
    value = ("x", TensorProto.FLOAT, (1, 8))
    node = helper.make_node("Relu", ["x"], ["y"], name="nothing")
    graph = helper.make_graph(
        [node], "nothing", [helper.make_tensor_value_info(*value)], [helper.make_tensor_value_info("y", *value[1:])]
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
