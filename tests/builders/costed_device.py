"""A device whose every cost is known: it adds up what the nodes of a file would take."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import onnx

from evaluators.graphs.graph import Graph, is_op
from evaluators.graphs.layer_groups import node_macs
from evaluators.graphs.shapes import Shape, tensor_shapes
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import Profile

US_PER_MACS = 1e-5
CALL_US = 8.0


class CostedDevice(FakeDevice):
    """Layers cost by their multiply-accumulates, channels counted in whole ``steps``; static int8 ``faster`` times
    less; quantising and dequantising an activation by its ``convert_us`` for each value, where it is not between two
    int8 layers; a call costs :data:`CALL_US`."""

    def __init__(
        self, *, steps: int = 1, faster: float = 4.0, convert_us: float = 1e-3, profile: Profile | None = None,
        surcharge: Callable[[onnx.ModelProto], float] = lambda model: 0.0,
    ) -> None:  # fmt: skip
        super().__init__(lambda path: 1.0, profile=profile)
        self._steps, self._faster, self._convert_us, self._surcharge = steps, faster, convert_us, surcharge
        self._speed = lambda path: self.us(path.with_name("baseline.onnx")) / self.us(path)

    def us(self, path: Path) -> float:
        """What a file takes, in microseconds."""
        model = onnx.load(path)
        graph, shapes = Graph(model.graph), tensor_shapes(model)
        costs = (self._node_us(node, graph, shapes) for node in model.graph.node)
        return CALL_US + self._surcharge(model) + sum(costs)

    def _node_us(self, node: onnx.NodeProto, graph: Graph, shapes: dict[str, Shape]) -> float:
        if is_op(node, "Conv", "MatMul", "Gemm"):
            macs = node_macs(node, shapes) * self._padding(shapes.get(node.input[1], ()))
            return macs * US_PER_MACS / (self._faster if in_integers(node, graph) else 1.0)
        if is_op(node, "QuantizeLinear") and node.input[0] not in graph.initializers:
            made_by = graph.producers.get(node.input[0])
            while made_by is not None and is_op(made_by, "Relu"):
                made_by = graph.producers.get(made_by.input[0])
            return (
                0.0 if made_by is not None and in_integers(made_by, graph) else self._values_us(node.input[0], shapes)
            )
        if is_op(node, "DequantizeLinear") and node.input[0] not in graph.initializers:
            readers = graph.readers(node.output[0])
            inside = node.output[0] not in graph.outputs and all(in_integers(one, graph) for one in readers)
            return 0.0 if inside else self._values_us(node.input[0], shapes)
        return 0.0

    def _values_us(self, tensor: str, shapes: dict[str, Shape]) -> float:
        return math.prod(dim or 1 for dim in shapes[tensor]) * self._convert_us

    def _padding(self, weight: Shape) -> float:
        sizes = [size or 1 for size in weight[:2] if size != 1]
        return math.prod(math.ceil(size / self._steps) * self._steps / size for size in sizes)


def in_integers(node: onnx.NodeProto, graph: Graph) -> bool:
    """Whether a layer reads dequantised values and weights, so that a runtime computes it on integers."""
    if not is_op(node, "Conv", "MatMul", "Gemm"):
        return False
    made_by = [graph.producers.get(name) for name in node.input[:2]]
    return all(one is not None and is_op(one, "DequantizeLinear") for one in made_by)
