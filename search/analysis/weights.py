"""A model's weights, layer by layer, as channels of values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from evaluators.graphs.cleanup import with_node_names
from evaluators.graphs.graph import Graph, int_attribute, is_op
from evaluators.graphs.layer_groups import possible_precisions, weight_names

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one layer; weights that several nodes share belong to the first one."""

    name: str
    operator: str
    tensors: tuple[Floats, ...]
    """Each of shape (channels, values); a channel has a quantisation scale of its own."""

    @property
    def count(self) -> int:
        """Number of weights."""
        return sum(tensor.size for tensor in self.tensors)


def layers_of(model: onnx.ModelProto) -> Iterator[LayerWeights]:
    """Yields every layer that could be quantised, in graph order; shared weights once."""
    model = with_node_names(model)
    graph = Graph(model.graph)
    seen: set[str] = set()
    for node in model.graph.node:
        names = [name for name in weight_names(node) if name not in seen] if _is_layer(node, graph) else []
        if names:
            seen.update(names)
            yield LayerWeights(node.name, node.op_type, tuple(_channels(node, graph, name) for name in names))


def _is_layer(node: onnx.NodeProto, graph: Graph) -> bool:
    return len(possible_precisions(node, graph)) > 1


def _channels(node: onnx.NodeProto, graph: Graph, name: str) -> Floats:
    value = np.asarray(graph.constant(name), np.float32)
    if is_op(node, "LSTM"):
        return value.reshape(-1, value.shape[-1])
    axis = _output_axis(node)
    return np.ascontiguousarray(np.moveaxis(value, axis, 0)).reshape(value.shape[axis], -1)


def _output_axis(node: onnx.NodeProto) -> int:
    """Returns the axis of a layer's weights that counts its output channels (of an embedding: its rows)."""
    if is_op(node, "Conv", "Gather"):
        return 0
    return 0 if is_op(node, "Gemm") and int_attribute(node, "transB", 0) else 1
