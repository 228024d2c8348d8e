"""Counts the layers of a model that its owner quantised."""

from __future__ import annotations

import onnx

from evaluators.graphs.graph import Graph, is_op
from evaluators.graphs.model import all_nodes

_OPERATORS = frozenset(
    {
        "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QGemm", "QAttention", "QLinearConvTranspose",
        "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulNBits", "MatMulBnb4",
        "GatherBlockQuantized", "QMoE", "QOrderedMatMul", "QEmbedLayerNormalization",
    }
)  # fmt: skip
"""Layers that compute in integers or store their weights as integers."""

_LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Gather", "LSTM", "GRU", "RNN")
_VIEWS = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity")


def count_integer_layers(model: onnx.ModelProto) -> int:
    """Counts integer operators, and float layers that read a constant through DequantizeLinear."""
    graph = Graph(model.graph)
    return sum(node.op_type in _OPERATORS or _dequantises(node, graph) for node in all_nodes(model.graph))


def _dequantises(node: onnx.NodeProto, graph: Graph) -> bool:
    return is_op(node, *_LAYERS) and any(_reads_integer_constant(name, graph) for name in node.input[:2])


def _reads_integer_constant(tensor: str, graph: Graph) -> bool:
    producer = graph.producers.get(tensor)
    while producer is not None and is_op(producer, *_VIEWS):
        producer = graph.producers.get(producer.input[0])
    return (
        producer is not None
        and is_op(producer, "DequantizeLinear")
        and graph.constant_tensor(producer.input[0]) is not None
    )
