"""Extracts one layer of a model as a separate model, so that it can be benchmarked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from evaluators.graphs.graph import Graph, attributes, is_op
from evaluators.graphs.layer_groups import LayerGroup, node_macs
from evaluators.graphs.model import MICROSOFT
from evaluators.graphs.shapes import Shape
from evaluators.tensors import Array


def extract_layer(
    model: onnx.ModelProto, group: LayerGroup, value_shapes: Mapping[str, Shape]
) -> onnx.ModelProto | None:
    """Extracts a group's layer with most multiply-accumulates, and layers of the group that read the same tensor.

    ``value_shapes`` are the shapes of tensors for the batch to measure
    (:func:`evaluators.graphs.shapes.tensor_shapes`); the model's inputs have exactly these. A Relu or Clip after a
    convolution is included, because runtimes merge the two. Node names and weights are the source's, so that
    :func:`evaluators.graphs.layer_groups.layer_groups` finds the group again. Returns None if a shape is unknown.

    In static int8 the extracted layer also quantises its input and dequantises its output; next to other int8 layers
    its speed-up is larger.
    """
    graph = Graph(model.graph)
    members = [node for node in model.graph.node if node.name in set(group.nodes)]
    if not members:
        return None
    largest = max(members, key=lambda node: node_macs(node, value_shapes))
    nodes: list[onnx.NodeProto] = []
    for node in members:
        if node is largest or _shares_input(node, largest):
            nodes.append(_without_masks(node))
            clip = graph.only_reader(node.output[0])
            if is_op(node, "Conv", "ConvTranspose") and clip is not None and is_op(clip, "Relu", "Clip"):
                nodes.append(clip)
    produced = {name for node in nodes for name in node.output if name}
    read = {name for node in nodes for name in node.input}
    inputs = []
    for name in dict.fromkeys(name for node in nodes for name in node.input):
        if not name or name in graph.initializers or name in produced:
            continue
        shape = value_shapes.get(name)
        if shape is None or None in shape:
            return None
        inputs.append(helper.make_tensor_value_info(name, _element_type(name, nodes), shape))
    outputs = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for node in nodes
        for name in node.output[:1]
        if name not in read
    ]
    weights = [tensor for name, tensor in graph.initializers.items() if name in read]
    extracted = helper.make_model(helper.make_graph(nodes, "layer", inputs, outputs, weights))
    extracted.ir_version = model.ir_version
    del extracted.opset_import[:]
    extracted.opset_import.extend(model.opset_import)
    return extracted


def layer_key(model: onnx.ModelProto, group: LayerGroup, value_shapes: Mapping[str, Shape]) -> str:
    """Identifies what decides the speed of an extracted layer: operators, attributes and shapes, but not weights.

    Layers of one key need to be measured only once. "" if :func:`extract_layer` returns None.
    """
    extracted = extract_layer(model, group, value_shapes)
    if extracted is None:
        return ""
    shapes: dict[str, Sequence[int | None]] = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in extracted.graph.input
    }
    shapes.update({tensor.name: list(tensor.dims) for tensor in extracted.graph.initializer})
    parts = []
    for node in extracted.graph.node:
        sizes = ",".join("x".join(map(str, shapes.get(name, ()))) if name else "-" for name in node.input)
        options = ",".join(f"{name}={_text(value)}" for name, value in sorted(attributes(node).items()))
        parts.append(f"{node.op_type}({sizes}){{{options}}}")
    return " ".join(parts)


def random_feed(model: onnx.ModelProto, seed: int = 0) -> dict[str, Array]:
    """Draws a feed for a model of fixed shapes: standard normal floats, zeros for integers."""
    rng = np.random.default_rng(seed)
    feed: dict[str, Array] = {}
    for value in model.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        floating = np.issubdtype(dtype, np.floating)
        feed[value.name] = rng.standard_normal(shape).astype(dtype) if floating else np.zeros(shape, dtype)
    return feed


def _shares_input(node: onnx.NodeProto, sibling: onnx.NodeProto) -> bool:
    return is_op(node, "MatMul", "Gemm") and is_op(sibling, "MatMul", "Gemm") and node.input[0] == sibling.input[0]


def _without_masks(node: onnx.NodeProto) -> onnx.NodeProto:
    """Copies a node without masks and sequence lengths, for which random values would be invalid."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    masks = (3,) if is_op(node, "Attention", domain=MICROSOFT) else (4,) if is_op(node, "LSTM") else ()
    for position in masks:
        if position < len(copy.input):
            copy.input[position] = ""
    while copy.input and not copy.input[-1]:
        copy.input.pop()
    return copy


def _element_type(tensor: str, nodes: Sequence[onnx.NodeProto]) -> int:
    ids = any(is_op(node, "Gather") and node.input[1] == tensor for node in nodes)
    return int(onnx.TensorProto.INT64 if ids else onnx.TensorProto.FLOAT)


def _text(value: object) -> str:
    if isinstance(value, list):
        return "x".join(_text(entry) for entry in value)
    return value.decode() if isinstance(value, bytes) else str(value)
