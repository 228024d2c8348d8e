"""Measures layer tables: benchmarks each layer of a model on a device, and the tensors between layers."""

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
from evaluators.probing.answers import Answer, failure_of
from evaluators.probing.layer_table import FLOAT, INTEGER, LayerTable, Tensor, Unit, UnitTime
from evaluators.probing.operators import convolutions, products, single_layer
from evaluators.probing.questions import LayerAnswers, SingleLayer
from evaluators.probing.single_layer import extract_layer, layer_key
from evaluators.processes.sandbox_child import report
from evaluators.quantize import Scheme
from evaluators.quantize.integer_operators import clipping, data_inputs, is_follower
from evaluators.tensors import Arrays
from hwprofiles import Precision
from hwprofiles.errors import NotAsked

SMALL = 4096
"""Tensors of fewer values are converted in negligible time."""

WIDE = 4096
"""Above this width no conversions are measured: a layer's weights are the square of its channels or features."""

Values = Mapping[str, Mapping[str, Precision]]
"""By group, the values of its decision, each with its precision."""


@dataclass(frozen=True)
class Question:
    """A model whose layer table is to be measured."""

    name: str
    """A digest of the model's graph and of the shapes of its weights."""
    model: onnx.ModelProto
    groups: tuple[LayerGroup, ...]
    values: Values
    sample: Arrays
    """The feed of one inference."""
    scheme: Scheme
    runtime: str | None = None
    """None for the device's first runtime."""
    integers_runtime: str | None = None
    """Runtime for static int8 in place of ``runtime``: a family's integer kernels do not depend on its hint."""


def measure_table(
    answers: LayerAnswers,
    question: Question,
    *,
    limit_s: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> LayerTable | None:
    """Measures the table of a model, which takes minutes.

    Returns None if ``limit_s`` seconds were not enough (answers are kept for the next call), or if the device does not
    run the fp32 model or the yardstick.
    """
    return _Timing(answers, question, clock() + limit_s, clock).measure()


class _OutOfTime(Exception):
    """The time limit was reached before the table was complete."""


class _Timing:
    """Measures one table."""

    def __init__(self, answers: LayerAnswers, question: Question, ends_at: float, clock: Callable[[], float]) -> None:
        self._answers, self._question, self._ends_at, self._clock = answers, question, ends_at, clock
        self._graph = Graph(question.model.graph)
        self._shapes = shapes_in_run(question.model, question.sample)
        self._units = list(self._extract_units())
        self._ends: dict[tuple[str, Shape], dict[str, float]] = {}
        self._overhead = 0.0

    def measure(self) -> LayerTable | None:
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
            for number, (group, nodes, layer) in enumerate(self._units, 1):
                report(f"timing layer {number} of {len(self._units)}")
                units.append(self._unit(group, nodes, layer, yardstick_ms))
            return LayerTable(tuple(units), tuple(self._tensors()), whole, self._overhead, yardstick_ms)
        except _OutOfTime:
            return None

    # Units

    def _extract_units(self) -> list[tuple[LayerGroup, tuple[str, ...], SingleLayer]]:
        units = []
        layers: dict[str, SingleLayer | None] = {}  # by key: layers of one key are equally fast
        for group in self._question.groups:
            if group.name not in self._question.values:
                continue
            remaining = list(group.nodes)
            while remaining:
                first = remaining[0]
                unit = replace(group, nodes=tuple(name for name in remaining if self._share_a_timing(first, name)))
                remaining = [name for name in remaining if name not in unit.nodes]
                key = layer_key(self._question.model, unit, self._shapes)
                if key not in layers:
                    layers[key] = self._extract(key, unit)
                if (layer := layers[key]) is not None:
                    units.append((group, unit.nodes, layer))
        return units

    def _extract(self, key: str, unit: LayerGroup) -> SingleLayer | None:
        extracted = extract_layer(self._question.model, unit, self._shapes)
        groups = () if extracted is None else layer_groups(extracted)
        return SingleLayer(key, groups, extracted) if extracted is not None and groups else None

    def _share_a_timing(self, name: str, sibling: str) -> bool:
        nodes = [self._node(name), self._node(sibling)]
        products = all(is_op(node, "MatMul", "Gemm") for node in nodes)
        return name == sibling or (products and nodes[0].input[0] == nodes[1].input[0])

    def _unit(self, group: LayerGroup, nodes: tuple[str, ...], layer: SingleLayer, yardstick_ms: float) -> Unit:
        fp32 = self._yardsticks(layer)
        times = {}
        for value, precision in {Precision.FP32.value: Precision.FP32, **self._question.values[group.name]}.items():
            times[value] = self._time(layer, precision, fp32, yardstick_ms)
        tensors = [self._read(self._node(nodes[0])), *(self._node(name).output[0] for name in nodes)]
        ends = [self._ends_of(tensor, group.kind) for tensor in tensors]
        total = {kind: sum(end[kind] for end in ends) for kind in (FLOAT, INTEGER)}
        return Unit(group.name, nodes, layer.key, times, total)

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
        index = {name: number for number, (_, nodes, _) in enumerate(self._units) for name in nodes}
        flow = self._flow(index)
        readers: dict[str, list[int]] = {}
        for node in self._graph.proto.node:
            if node.name in index:
                readers.setdefault(self._read(node), []).append(index[node.name])
        tensors = []
        for tensor in dict.fromkeys([*flow, *readers]):
            writers = flow.get(tensor, frozenset({_OUTSIDE}))
            escapes = self._escapes(tensor, index)
            if not (escapes or tensor in readers) or (writers == {_OUTSIDE} and tensor not in readers):
                continue
            inner = sorted(writers - {_OUTSIDE})
            reading = sorted(set(readers.get(tensor, ())))
            kinds = [self._units[number][0].kind for number in (*inner, *reading)]
            ends = self._ends_of(tensor, "Conv" if any("Conv" in kind for kind in kinds) else kinds[0])
            tensors.append(Tensor(self._size(tensor), tuple(inner), tuple(reading), _OUTSIDE in writers, escapes, ends))
        return tensors

    def _flow(self, index: Mapping[str, int]) -> dict[str, frozenset[int]]:
        """Returns, by tensor, the layers whose results it carries in their format; :data:`_OUTSIDE` for other nodes."""
        flow: dict[str, frozenset[int]] = {}
        for node in self._graph.proto.node:
            if node.name in index:
                sources = frozenset({index[node.name]})
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

    def _escapes(self, tensor: str, index: Mapping[str, int]) -> bool:
        if tensor in self._graph.outputs or tensor in self._graph.inner_readers:
            return True
        readers = (node for node in self._graph.consumers.get(tensor, ()) if node.name not in index)
        return any(not self._keeps_format(node) for node in readers)

    def _ends_of(self, tensor: str, kind: str) -> dict[str, float]:
        """Returns the cost of converting to or from each format at a tensor: half of what joining two layers saves."""
        shape = self._shapes.get(tensor, ())
        conv = "Conv" in kind
        if self._size(tensor) < SMALL or (conv and len(shape) < 3) or not self._has_int8:
            return {FLOAT: 0.0, INTEGER: 0.0}
        if (shape[1 if conv else -1] or 0) > WIDE:
            return {FLOAT: 0.0, INTEGER: 0.0}
        key = ("conv" if conv else "product", shape)
        if key not in self._ends:
            sizes = [dim or 1 for dim in shape]
            build = convolutions if conv else products
            single, double = (single_layer(build(sizes, count=count)) for count in (1, 2))
            self._ends[key] = {
                # Float products need no conversion of layout.
                FLOAT: self._end(single, double, Precision.FP32) if conv else 0.0,
                INTEGER: self._end(single, double, Precision.INT8),
            }
        return self._ends[key]

    def _end(self, single: SingleLayer, double: SingleLayer, precision: Precision) -> float:
        times = [self._time(layer, precision, self._yardsticks(layer), 1.0).yardsticks for layer in (single, double)]
        if times[0] is None or times[1] is None:
            return 0.0
        return max(0.0, 2 * times[0] - times[1] - self._overhead) / 2

    @property
    def _has_int8(self) -> bool:
        return any(Precision.INT8 in values.values() for values in self._question.values.values())

    # Questions

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
"""Stands for nodes that are no layers, where indices of layers are expected."""


def _in_time(answer: Answer) -> Answer:
    """Returns the answer; raises :class:`_OutOfTime` if the device had no time for it."""
    if failure_of(answer) == NotAsked.state:
        raise _OutOfTime
    return answer


def _nothing() -> onnx.ModelProto:
    """Builds a model that computes almost nothing; its time is the overhead of a call."""
    value = ("x", TensorProto.FLOAT, (1, 8))
    node = helper.make_node("Relu", ["x"], ["y"], name="nothing")
    graph = helper.make_graph(
        [node], "nothing", [helper.make_tensor_value_info(*value)], [helper.make_tensor_value_info("y", *value[1:])]
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
