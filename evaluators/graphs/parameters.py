"""Counts the parameters of a model, whatever numbers they are stored in."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import onnx
from onnx import TensorProto

from evaluators.graphs.graph import Graph, int_attribute, is_op

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})
_SMALL_INTEGERS = frozenset({TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4})

_SCALES_AND_ZEROS: Mapping[str, Collection[int]] = {
    "QuantizeLinear": (1, 2), "DequantizeLinear": (1, 2), "MatMulInteger": (2, 3), "ConvInteger": (2, 3),
    "QAttention": (3, 4, 6, 7), "DynamicQuantizeLSTM": (8, 9, 10, 11), "MatMulNBits": (2, 3),
}  # fmt: skip
"""By operator, the inputs that only say what its integers stand for."""


def count_parameters(model: onnx.ModelProto) -> int:
    """Counts the numbers in a model's weights: as many in int8 or int4 as in fp32, unless a weight or bias is stored in
    both forms.

    Not counted: scales and zero points, single constants, shapes and indices. A batch normalisation that was folded
    into its layer counts only as the layer's bias.
    """
    graph = Graph(model.graph)
    return sum(_count(tensor, graph) for tensor in model.graph.initializer)


def _count(tensor: onnx.TensorProto, graph: Graph) -> int:
    readers = graph.consumers.get(tensor.name, ())
    uses = [(node, place) for node in readers for place, name in enumerate(node.input) if name == tensor.name]
    if math.prod(tensor.dims) == 1 or (
        uses and all(_says_what_integers_are(node, place, graph) for node, place in uses)
    ):
        return 0
    packing = [node for node, place in uses if node.op_type == "MatMulNBits" and place == 1]
    if packing:  # several weights may share a byte
        return int_attribute(packing[0], "K", 0) * int_attribute(packing[0], "N", 0)
    is_bias = tensor.data_type == TensorProto.INT32 and any(is_op(node, "DequantizeLinear") for node, _ in uses)
    return math.prod(tensor.dims) if is_bias or tensor.data_type in _FLOATS | _SMALL_INTEGERS else 0


def _says_what_integers_are(node: onnx.NodeProto, place: int, graph: Graph) -> bool:
    """Returns whether an input of a node is a scale or zero point, also one that is multiplied with integers."""
    if is_op(node, "Gather") and place == 0:
        return any(_says_what_integers_are(reader, -1, graph) for reader in graph.consumers.get(node.output[0], ()))
    if is_op(node, "Mul"):
        makers = [graph.producers[name] for name in node.input if name in graph.producers]
        return any(maker.op_type in ("Cast", "DynamicQuantizeLinear") for maker in makers)
    return place in _SCALES_AND_ZEROS.get(node.op_type, ())
