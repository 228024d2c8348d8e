"""One layer as a model of its own, so that a device can be asked what a precision gains on it."""

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
    """A model that holds the layer of a group with most multiply-accumulates, and those that read the same tensor.

    ``value_shapes`` gives the shapes of tensors for the batch to be asked about
    (:func:`evaluators.graphs.shapes.tensor_shapes`); the extracted inputs have exactly these. A Relu or Clip behind a
    convolution comes along, as a runtime merges the two. Node names and weights are the source's, so that
    :func:`evaluators.graphs.layer_groups.layer_groups` finds the group again. Returns None where a shape is not known.

    A static int8 version of it also quantises its input and dequantises its output: next to other int8 layers the same
    layer gains more than it shows here.
    """
    graph = Graph(model.graph)
    members = [node for node in model.graph.node if node.name in set(group.nodes)]
    if not members:
        return None
    largest = max(members, key=lambda node: node_macs(node, value_shapes))
    kept: list[onnx.NodeProto] = []
    for node in members:
        if node is largest or _shares_input(node, largest):
            kept.append(_without_masks(node))
            clip = graph.only_reader(node.output[0])
            if is_op(node, "Conv", "ConvTranspose") and clip is not None and is_op(clip, "Relu", "Clip"):
                kept.append(clip)
    made = {name for node in kept for name in node.output if name}
    read = {name for node in kept for name in node.input}
    inputs = []
    for name in dict.fromkeys(name for node in kept for name in node.input):
        if not name or name in graph.initializers or name in made:
            continue
        shape = value_shapes.get(name)
        if shape is None or None in shape:
            return None
        inputs.append(helper.make_tensor_value_info(name, _element_type(name, kept), shape))
    outputs = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for node in kept
        for name in node.output[:1]
        if name not in read
    ]
    weights = [tensor for name, tensor in graph.initializers.items() if name in read]
    extracted = helper.make_model(helper.make_graph(kept, "layer", inputs, outputs, weights))
    extracted.ir_version = model.ir_version
    del extracted.opset_import[:]
    extracted.opset_import.extend(model.opset_import)
    return extracted


def layer_key(model: onnx.ModelProto, group: LayerGroup, value_shapes: Mapping[str, Shape]) -> str:
    """Names what decides the speed of an extracted layer: operators, attributes and shapes, but no weights.

    Layers of one key need to be asked about only once. "" where :func:`extract_layer` gives None.
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
        known = ",".join(f"{name}={_text(value)}" for name, value in sorted(attributes(node).items()))
        parts.append(f"{node.op_type}({sizes}){{{known}}}")
    return " ".join(parts)


def random_feed(model: onnx.ModelProto, seed: int = 0) -> dict[str, Array]:
    """Inputs for a model of fixed shapes: standard normal floats, zeros for integers."""
    rng = np.random.default_rng(seed)
    feed: dict[str, Array] = {}
    for value in model.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        floating = np.issubdtype(dtype, np.floating)
        feed[value.name] = rng.standard_normal(shape).astype(dtype) if floating else np.zeros(shape, dtype)
    return feed


def _shares_input(node: onnx.NodeProto, other: onnx.NodeProto) -> bool:
    return is_op(node, "MatMul", "Gemm") and is_op(other, "MatMul", "Gemm") and node.input[0] == other.input[0]


def _without_masks(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node without masks and sequence lengths, whose values could not be made up."""
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
