"""Lists the layers of a model that no decision applies to, each with the reason."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import onnx

from evaluators.graphs.graph import Graph, attributes, input_of, int_attribute, is_dequantize_output, is_op
from evaluators.graphs.layer_groups import MIN_EMBEDDING_WEIGHTS, possible_precisions, reads_constant, weight_names
from evaluators.graphs.model import MICROSOFT, all_nodes, subgraphs

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PRODUCTS = ("MatMul", "Gemm")
_RECURRENT = ("LSTM", "GRU", "RNN")
_INTEGER = ("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul")
_INTEGER_OF_THE_RUNTIME = (
    "QAttention", "QGemm", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulNBits",
    "MatMulBnb4", "GatherBlockQuantized",
)  # fmt: skip
_OTHER_OF_THE_RUNTIME = (
    "Attention", "MultiHeadAttention", "GroupQueryAttention", "PackedAttention", "FusedMatMul", "FusedGemm",
    "FusedConv", "GemmFastGelu",
)  # fmt: skip

QUANTISED_ALREADY = "quantised already"
NONE_PAYS = "no other precision is faster on this device"


@dataclass(frozen=True)
class LeftAlone:
    """A convolution, matrix product, recurrent layer, attention or large table that no decision applies to."""

    layer: str
    """Name of its node."""
    operator: str
    why: str
    """The reason, in one line."""


def left_alone(model: onnx.ModelProto, decided: Collection[str]) -> list[LeftAlone]:
    """Lists the layers of a clean model that are not among the ``decided`` nodes (names), in graph order."""
    graph = Graph(model.graph)
    layers = []
    for node in model.graph.node:
        if _is_layer(node, graph) and node.name not in decided:
            layers.append(LeftAlone(node.name, node.op_type, why_not(node, graph)))
        layers += [LeftAlone(inner.name or inner.output[0], inner.op_type, why) for inner, why in _inner_layers(node)]
    return layers


def why_not(node: onnx.NodeProto, graph: Graph) -> str:
    """Returns the reason, in one line, why a layer has a single precision; :data:`NONE_PAYS` if it has several."""
    if len(possible_precisions(node, graph)) > 1:
        return NONE_PAYS
    if is_op(node, *_INTEGER) or is_op(node, *_INTEGER_OF_THE_RUNTIME, domain=MICROSOFT):
        return QUANTISED_ALREADY
    if any(is_dequantize_output(name, graph) for name in node.input[:2]):
        return QUANTISED_ALREADY
    if is_op(node, "GRU", "RNN", "Einsum") or is_op(node, *_OTHER_OF_THE_RUNTIME[1:], domain=MICROSOFT):
        return f"no quantised form of {node.op_type} here"
    weights = [name for name in weight_names(node) if name]
    if is_op(node, *_PRODUCTS) and node.input[0] in graph.constants and node.input[1] not in graph.constants:
        return "weights on the left of the product"
    if reads_constant(node, graph):
        return "constant input: computed once, when the model is loaded"
    if any(name not in graph.constants for name in weights):
        is_product = is_op(node, *_PRODUCTS)
        return "product of two activations" if is_product else "weights computed in each run"
    return _why_weights(node, weights, graph) or _why_operator(node, graph)


def _why_weights(node: onnx.NodeProto, weights: list[str], graph: Graph) -> str:
    if any(name not in graph.initializers for name in weights):
        return "weights computed from other constants"
    tensors = [graph.initializers[name] for name in weights]
    kinds = {tensor.data_type for tensor in tensors} - {onnx.TensorProto.FLOAT}
    if kinds:
        return f"weights of {onnx.TensorProto.DataType.Name(kinds.pop()).lower()}, not of float32"
    if any(0 in tensor.dims for tensor in tensors):
        return "empty weights"
    if is_op(node, *_PRODUCTS) and len(tensors[0].dims) != 2:
        return f"weights with {len(tensors[0].dims)} axes, not 2"
    return ""


def _why_operator(node: onnx.NodeProto, graph: Graph) -> str:
    if is_op(node, *_CONVOLUTIONS) and input_of(node, 2) and input_of(node, 2) not in graph.initializers:
        return "computed bias"
    if is_op(node, "Gemm"):
        options = attributes(node)
        if options.get("alpha", 1.0) != 1.0 or options.get("beta", 1.0) != 1.0:
            return "factors alpha or beta"
    if is_op(node, "LSTM") and int_attribute(node, "layout", 0):
        return "batch first (layout 1)"
    if is_op(node, "LSTM") and input_of(node, 7):
        return "peephole weights"
    if is_op(node, "Attention", domain=MICROSOFT):
        return "a bias, a past or an attribute that QAttention lacks"
    return "not supported in this form"


def _is_layer(node: onnx.NodeProto, graph: Graph) -> bool:
    if is_op(node, *_CONVOLUTIONS, *_PRODUCTS, *_RECURRENT, *_INTEGER, "Einsum"):
        return True
    if is_op(node, *_INTEGER_OF_THE_RUNTIME, *_OTHER_OF_THE_RUNTIME, domain=MICROSOFT):
        return True
    table = graph.initializers.get(node.input[0]) if is_op(node, "Gather") else None
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    large = table is not None and len(table.dims) == 2 and math.prod(table.dims) >= MIN_EMBEDDING_WEIGHTS
    return table is not None and large and table.data_type in floats


def _inner_layers(node: onnx.NodeProto) -> Iterator[tuple[onnx.NodeProto, str]]:
    for inner in subgraphs(node):
        index = Graph(inner)
        for layer in all_nodes(inner):
            if _is_layer(layer, index):
                yield layer, f"inside of {node.op_type}"
