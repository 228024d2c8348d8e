"""Folds constant arithmetic around a layer into its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from evaluators.graphs.graph import (
    Graph,
    Names,
    attributes,
    float_attribute,
    input_of,
    int_attribute,
    is_op,
    text_attribute,
)

Floats = NDArray[np.floating]

_CHANNELWISE = ("BatchNormalization", "Add", "Mul")


def fold_channelwise(graph: onnx.GraphProto) -> None:
    """Folds batch normalisation and constant per-channel Add and Mul into the Conv or ConvTranspose before them.

    Into a Gemm only batch normalisation is folded.
    """
    while True:
        index = Graph(graph)
        if not any(_fold_reader(graph, index, node) for node in graph.node):
            return


def _fold_reader(graph: onnx.GraphProto, index: Graph, layer: onnx.NodeProto) -> bool:
    if not is_op(layer, "Conv", "ConvTranspose", "Gemm"):
        return False
    reader = index.only_reader(layer.output[0])
    if reader is None or not is_op(reader, *_CHANNELWISE):
        return False
    if layer.op_type == "Gemm" and (reader.op_type != "BatchNormalization" or not _plain_factors(layer)):
        return False
    weight = index.constant(layer.input[1])
    bias_name = input_of(layer, 2)
    bias = index.constant(bias_name) if bias_name else None
    if weight is None or weight.dtype != np.float32 or (bias_name and bias is None):
        return False
    axis, channels = _channels(layer, weight)
    if bias is not None and bias.size not in (1, channels):
        return False
    affine = _affine(reader, index, layer.output[0], channels, weight.ndim if layer.op_type != "Gemm" else 2)
    if affine is None:
        return False
    scale, shift = affine
    start = np.zeros(channels) if bias is None else np.broadcast_to(bias.astype(np.float64).ravel(), (channels,))
    _set_weight(graph, index, layer, 1, _scale_weight(weight, scale, axis, layer))
    _set_weight(graph, index, layer, 2, (start * scale + shift).astype(np.float32))
    layer.output[0] = reader.output[0]
    graph.node.remove(reader)
    return True


def _plain_factors(gemm: onnx.NodeProto) -> bool:
    return float_attribute(gemm, "alpha", 1.0) == 1.0 and float_attribute(gemm, "beta", 1.0) == 1.0


def _channels(layer: onnx.NodeProto, weight: NDArray[np.generic]) -> tuple[int, int]:
    """Returns the axis of output channels in the weights, and their number."""
    if layer.op_type == "Conv":
        return 0, weight.shape[0]
    if layer.op_type == "ConvTranspose":
        return 1, weight.shape[1] * int_attribute(layer, "group", 1)
    axis = 0 if int_attribute(layer, "transB", 0) else 1
    return axis, weight.shape[axis]


def _affine(
    node: onnx.NodeProto, index: Graph, tensor: str, channels: int, rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Returns the factor and the summand ``(channels,)`` that a node applies; None if they are not constant."""
    if node.op_type == "BatchNormalization":
        if int_attribute(node, "training_mode", 0) or len([name for name in node.output if name]) > 1:
            return None
        values = [index.constant(name) for name in node.input[1:5]]
        gamma, beta, mean, variance = (None if v is None else v.astype(np.float64) for v in values)
        if gamma is None or beta is None or mean is None or variance is None:
            return None
        scale = gamma / np.sqrt(variance + float_attribute(node, "epsilon", 1e-5))
        return scale, beta - mean * scale
    operands = [name for name in node.input if name != tensor]
    value = index.constant(operands[0]) if len(operands) == 1 else None
    if value is None or value.ndim > rank:
        return None
    if value.size != 1 and value.shape[value.ndim - rank + 1 :] != (channels, *[1] * (rank - 2)):
        return None
    if value.size not in (1, channels):
        return None
    flat = np.broadcast_to(value.astype(np.float64).ravel(), (channels,))
    return (np.ones(channels), flat) if node.op_type == "Add" else (flat, np.zeros(channels))


def _scale_weight(weight: NDArray[np.generic], scale: NDArray[np.float64], axis: int, layer: onnx.NodeProto) -> Floats:
    wide = weight.astype(np.float64)
    if layer.op_type != "ConvTranspose":
        return (wide * scale.reshape([-1 if i == axis else 1 for i in range(wide.ndim)])).astype(np.float32)
    groups = int_attribute(layer, "group", 1)
    split = wide.reshape(groups, -1, *wide.shape[1:])
    return (split * scale.reshape(groups, 1, -1, *[1] * (wide.ndim - 2))).reshape(wide.shape).astype(np.float32)


def _set_weight(graph: onnx.GraphProto, index: Graph, node: onnx.NodeProto, position: int, value: Floats) -> None:
    """Replaces a weight of a node; it keeps its name if no other node reads it."""
    old = input_of(node, position)
    value = np.ascontiguousarray(value)
    if old in index.initializers and index.is_private(old):
        index.initializers[old].CopyFrom(numpy_helper.from_array(value, old))
        return
    base = old or f"{node.input[1]}_bias"
    name = Names(index.tensor_names()).fresh(base)
    graph.initializer.append(numpy_helper.from_array(value, name))
    while len(node.input) <= position:
        node.input.append("")
    node.input[position] = name


def fold_padding(graph: onnx.GraphProto) -> None:
    """Folds a Pad with zeros along the spatial axes into the convolution after it."""
    index = Graph(graph)
    for pad in [node for node in graph.node if is_op(node, "Pad")]:
        conv = index.only_reader(pad.output[0])
        if conv is None or not is_op(conv, "Conv") or conv.input[0] != pad.output[0]:
            continue
        pads = _spatial_padding(pad, index)
        if pads is None or text_attribute(conv, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            continue
        value = attributes(conv).get("pads")
        old = [int(amount) for amount in value] if isinstance(value, list) else [0] * len(pads)
        options = [a for a in conv.attribute if a.name not in ("pads", "auto_pad")]
        options.append(onnx.helper.make_attribute("pads", [a + b for a, b in zip(old, pads, strict=True)]))
        copies = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in options]
        del conv.attribute[:]
        conv.attribute.extend(copies)
        conv.input[0] = pad.input[0]
        graph.node.remove(pad)
        index = Graph(graph)


def _spatial_padding(pad: onnx.NodeProto, index: Graph) -> Sequence[int] | None:
    amounts = index.constant(pad.input[1])
    fill = index.constant(pad.input[2]) if input_of(pad, 2) else np.float32(0)
    if amounts is None or fill is None or np.any(fill != 0) or input_of(pad, 3):
        return None
    if text_attribute(pad, "mode", "constant") != "constant":
        return None
    begins, ends = np.split(amounts.astype(np.int64).ravel(), 2)
    if len(begins) < 3 or begins[:2].any() or ends[:2].any() or (amounts < np.int64(0)).any():
        return None
    return [int(value) for value in (*begins[2:], *ends[2:])]


def fold_gemm_factors(graph: onnx.GraphProto) -> None:
    """Folds alpha into a Gemm's constant weights and beta into its constant bias."""
    index = Graph(graph)
    for gemm in graph.node:
        if not is_op(gemm, "Gemm"):
            continue
        for factor, position in (("alpha", 1), ("beta", 2)):
            value = float_attribute(gemm, factor, 1.0)
            weight = index.constant(input_of(gemm, position))
            if value == 1.0 or weight is None or weight.dtype != np.float32:
                continue
            _set_weight(graph, index, gemm, position, weight.astype(np.float32) * np.float32(value))
            gemm.attribute.remove(next(a for a in gemm.attribute if a.name == factor))
            index = Graph(graph)


def fold_product_biases(graph: onnx.GraphProto, ranks: Mapping[str, int]) -> None:
    """Replaces MatMul of a matrix and weights, with a constant bias added, by Gemm; ``ranks`` by tensor name."""
    index = Graph(graph)
    for product in [node for node in graph.node if is_op(node, "MatMul")]:
        total = index.only_reader(product.output[0])
        weight = index.initializers.get(product.input[1])
        if weight is None or len(weight.dims) != 2 or ranks.get(product.input[0]) != 2:
            continue
        if total is None or not is_op(total, "Add"):
            continue
        operands = [name for name in total.input if name != product.output[0]]
        bias = index.initializers.get(operands[0]) if len(operands) == 1 else None
        if (
            bias is None
            or bias.data_type != weight.data_type
            or list(bias.dims) not in ([weight.dims[1]], [1, weight.dims[1]])
        ):
            continue
        product.op_type = "Gemm"
        product.input.append(bias.name)
        product.output[0] = total.output[0]
        graph.node.remove(total)
        index = Graph(graph)


def squeeze_weights(graph: onnx.GraphProto, ranks: Mapping[str, int]) -> None:
    """Replaces weights ``(1, inputs, outputs)`` of a batched MatMul by a matrix; the result is the same."""
    index = Graph(graph)
    for product in [node for node in graph.node if is_op(node, "MatMul")]:
        weight = index.initializers.get(product.input[1])
        if weight is None or len(weight.dims) != 3 or weight.dims[0] != 1 or ranks.get(product.input[0], 0) < 3:
            continue
        value = index.constant(product.input[1])
        if value is not None and value.dtype == np.float32:
            _set_weight(graph, index, product, 1, value[0].astype(np.float32))
            index = Graph(graph)


def fold_weight_views(graph: onnx.GraphProto) -> None:
    """Replaces transposed or reshaped weights that nothing else reads by new weights."""
    while True:
        index = Graph(graph)
        for node in graph.node:
            value = _view(node, index)
            if value is None:
                continue
            name = node.output[0]
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
            graph.node.remove(node)
            break
        else:
            return


def _view(node: onnx.NodeProto, index: Graph) -> NDArray[np.generic] | None:
    if not is_op(node, "Transpose", "Reshape", "Squeeze", "Unsqueeze") or node.output[0] in index.outputs:
        return None
    source = node.input[0]
    if source not in index.initializers or not index.is_private(source):
        return None
    value = index.constant(source)
    if value is None or value.dtype != np.float32:
        return None
    if node.op_type == "Transpose":
        order = attributes(node).get("perm")
        return np.transpose(value, order if isinstance(order, list) else None)
    shape = index.constant(input_of(node, 1)) if input_of(node, 1) else None
    if node.op_type == "Squeeze" and not input_of(node, 1):
        return np.squeeze(value)
    if shape is None:
        return None
    numbers = [int(entry) for entry in shape.ravel()]
    if node.op_type == "Squeeze":
        return np.squeeze(value, tuple(numbers))
    if node.op_type == "Unsqueeze":
        return np.expand_dims(value, tuple(numbers))
    if int_attribute(node, "allowzero", 0):
        return None
    return value.reshape([value.shape[i] if entry == 0 else entry for i, entry in enumerate(numbers)])
