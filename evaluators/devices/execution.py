"""What a runtime made of a model: its nodes with their times, and which of them are the model's layers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx

from evaluators.runtimes.base import TimedNode

FLOAT = {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
"""Operators that multiply in float by weights as they are."""

STORED = {"MatMulNBits", "MatMulBnb4"}
"""Operators that multiply in float by weights stored in fewer bits."""

_INTEGER = re.compile(r"^QLinear|^QGemm|Integer|^QAttention|^DynamicQuantize(MatMul|LSTM)")
_ADDED = re.compile(r"(_token_\d+|_nchwc)+$")  # what the runtime appends to a node's name


@dataclass(frozen=True)
class Layer:
    """A node that multiplies and accumulates, so that two models' can be told to be the same one."""

    node: TimedNode
    weight: tuple[int, ...]
    macs: int

    @property
    def kind(self) -> tuple[bool, tuple[int, ...]]:
        """What stays when its precision changes."""
        return "Conv" in self.node.operator, self.weight


@dataclass(frozen=True)
class Execution:
    """A model's ``nodes`` as they were timed, and the shapes of the ``weights`` that its nodes had by name: a runtime
    does not list weights that it has packed."""

    nodes: Sequence[TimedNode]
    weights: Mapping[str, tuple[int, ...]]

    @property
    def total_ms(self) -> float:
        """All nodes together."""
        return sum(node.ms for node in self.nodes)

    @cached_property
    def layers(self) -> list[Layer]:
        """The nodes that multiply and accumulate, in order, whatever number format they compute in."""
        found = []
        for node in self.nodes:
            weight = self._weight(node)
            if weight is not None and node.outputs:
                macs = math.prod(node.outputs[0][1]) * math.prod(weight[1:] if _convolves(node) else weight[:1])
                found.append(Layer(node, weight, macs))
        return found

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
    """Shapes of the constants that nodes multiply by, by the node's name, also where they are stored quantised."""
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
    """Layers of two models that have the same kind and weight shape, in order of execution."""
    waiting: dict[tuple[bool, tuple[int, ...]], list[Layer]] = {}
    for layer in against.layers:
        waiting.setdefault(layer.kind, []).append(layer)
    return [(layer, waiting[layer.kind].pop(0)) for layer in model.layers if waiting.get(layer.kind)]


def _convolves(node: TimedNode) -> bool:
    return "Conv" in node.operator


def multiplies(operator: str) -> bool:
    """Whether an operator is a convolution or a matrix product."""
    return any(word in operator for word in ("Conv", "MatMul", "Gemm"))


def computes_in_integers(operator: str) -> bool:
    """Whether an operator works on quantised numbers."""
    return bool(_INTEGER.search(operator))
