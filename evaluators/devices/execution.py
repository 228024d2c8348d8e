"""A model as a runtime executes it: its nodes with their times, and its layers among them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx

from evaluators.runtimes.base import TimedNode

FLOAT = {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
"""Operators that multiply in float by unquantised weights."""

STORED = {"MatMulNBits", "MatMulBnb4"}
"""Operators that multiply in float by weights stored in fewer bits."""

_INTEGER = re.compile(r"^QLinear|^QGemm|Integer|^QAttention|^DynamicQuantize(MatMul|LSTM)")
_ADDED = re.compile(r"(_token_\d+|_nchwc)+$")  # suffixes that the runtime adds to a node's name


@dataclass(frozen=True)
class Layer:
    """A node that multiplies and accumulates; can be matched with the same layer of another model."""

    node: TimedNode
    weight: tuple[int, ...]
    """Shape of the weight."""
    macs: int
    """Multiplications and accumulations of an inference."""

    @property
    def kind(self) -> tuple[bool, tuple[int, ...]]:
        """Whether it is a convolution, and its weight's shape: the same in every precision."""
        return "Conv" in self.node.operator, self.weight


@dataclass(frozen=True)
class Execution:
    """A model as it was executed."""

    nodes: Sequence[TimedNode]
    weights: Mapping[str, tuple[int, ...]]
    """Shapes of the model's weights by name of their node: a runtime does not list weights that it packed."""

    @property
    def total_ms(self) -> float:
        """Times of all nodes together."""
        return sum(node.ms for node in self.nodes)

    @cached_property
    def layers(self) -> list[Layer]:
        """The nodes that multiply and accumulate in any number format, in order."""
        layers = []
        for node in self.nodes:
            weight = self._weight(node)
            if weight is not None and node.outputs:
                macs = math.prod(node.outputs[0][1]) * math.prod(weight[1:] if _convolves(node) else weight[:1])
                layers.append(Layer(node, weight, macs))
        return layers

    def _weight(self, node: TimedNode) -> tuple[int, ...] | None:
        if node.operator not in FLOAT | STORED and not (
            computes_in_integers(node.operator) and multiplies(node.operator)
        ):
            return None
        if _convolves(node):
            listed = [shape for _, shape in node.inputs[1:] if len(shape) >= 3]
            return listed[0] if listed else self.weights.get(_ADDED.sub("", node.name))
        if not node.inputs or not node.inputs[0][1] or not node.outputs or not node.outputs[0][1]:
            return None
        return node.inputs[0][1][-1], node.outputs[0][1][-1]


def weights_of(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights by name of their node, quantised ones included."""
    constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return {
        node.name: constants[node.input[1]]
        for node in model.graph.node
        if len(node.input) > 1 and node.input[1] in constants and node.op_type in FLOAT
    }


def match_layers(model: Execution, against: Execution) -> list[tuple[Layer, Layer]]:
    """Pairs the layers of two models that have the same kind and weight shape, in order of execution."""
    unmatched: dict[tuple[bool, tuple[int, ...]], list[Layer]] = {}
    for layer in against.layers:
        unmatched.setdefault(layer.kind, []).append(layer)
    return [(layer, unmatched[layer.kind].pop(0)) for layer in model.layers if unmatched.get(layer.kind)]


def _convolves(node: TimedNode) -> bool:
    return "Conv" in node.operator


def multiplies(operator: str) -> bool:
    """Returns whether an operator is a convolution or a matrix product."""
    return any(word in operator for word in ("Conv", "MatMul", "Gemm"))


def computes_in_integers(operator: str) -> bool:
    """Returns whether an operator works on quantised numbers."""
    return bool(_INTEGER.search(operator))
