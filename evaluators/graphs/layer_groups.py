"""Groups the layers of a model that share one precision, and lists the precisions that each group allows."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from evaluators.graphs.cleanup import with_node_names
from evaluators.graphs.graph import Graph, attributes, input_of, int_attribute, is_dequantize_output, is_op
from evaluators.graphs.model import MICROSOFT
from evaluators.graphs.shapes import Shape, tensor_shapes
from hwprofiles.precision import Precision

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_SUMS = ("Add", "Sum")

# Operators between a convolution and a residual sum that need no precision of their own.
_PASSED = (
    "Add", "Sum", "Relu", "Clip", "LeakyRelu", "BatchNormalization", "MaxPool", "AveragePool", "Reshape", "Flatten",
    "Transpose", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Pad",
)  # fmt: skip

_MATRIX = (
    Precision.FP32, Precision.INT8, Precision.INT8_DYNAMIC, Precision.INT8_WEIGHT, Precision.INT4_WEIGHT,
)  # fmt: skip

MIN_EMBEDDING_WEIGHTS = 4096
"""Tables with fewer values are not layers."""


@dataclass(frozen=True)
class LayerGroup:
    """Layers that share one precision."""

    name: str
    nodes: tuple[str, ...]
    """Names of the layers' nodes."""
    kind: str
    """Operator of the first node."""
    precisions: tuple[Precision, ...]
    """Precisions that the operators allow; a device may be slower in some of them."""
    macs: int
    """Multiply-accumulates for one sample; 0 if shapes are unknown."""
    weights: int
    """Number of trained values that the precision applies to; shared weights count once."""
    values: int = 0
    """Number of other values that the layers read and write for one sample; 0 if shapes are unknown."""
    written: int = 0
    """How many of these values they write; 0 if unknown."""


def layer_groups(
    model: onnx.ModelProto,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    shapes: Mapping[str, Shape] | None = None,
) -> tuple[LayerGroup, ...]:
    """Groups the layers of a model, in graph order.

    ``macs`` and ``values`` follow from ``shapes`` by tensor name (:func:`evaluators.graphs.run_shapes.shapes_in_run`);
    by default from the shapes that inference finds for ``input_shapes``. The model is not changed: nodes without a
    unique name are listed under the name that :func:`evaluators.graphs.cleanup.name_nodes_in_place` would give them.

    A group holds convolutions whose outputs meet in a residual sum (the sum is computed in int8 only if all of them
    are), matrix products of one input tensor (q/k/v; they share its quantisation), or nodes that share weights.

    Not grouped, and therefore unchanged by every candidate: layers inside If, Loop and Scan, products of two
    activations, layers with a constant input, and layers whose weights are computed or not float32
    (:mod:`evaluators.graphs.left_alone` gives the reasons).
    """
    model = with_node_names(model)
    graph = Graph(model.graph)
    layers = [node for node in model.graph.node if len(possible_precisions(node, graph)) > 1]
    shapes = tensor_shapes(model, input_shapes) if shapes is None else shapes
    merged = _merge_layers(layers, graph)
    groups = []
    for name, members in zip(_group_names(merged), merged, strict=True):
        common = [set(possible_precisions(node, graph)) for node in members]
        precisions = tuple(p for p in Precision if all(p in allowed for allowed in common))
        if len(precisions) < 2:
            continue
        weights = {key: math.prod(graph.initializers[key].dims) for node in members for key in weight_names(node)}
        groups.append(
            LayerGroup(
                name=name,
                nodes=tuple(node.name for node in members),
                kind=members[0].op_type,
                precisions=precisions,
                macs=sum(node_macs(node, shapes) for node in members),
                weights=sum(weights.values()),
                values=sum(sum(node_reads_and_writes(node, shapes)) for node in members),
                written=sum(node_reads_and_writes(node, shapes)[1] for node in members),
            )
        )
    return tuple(groups)


def weight_names(node: onnx.NodeProto) -> tuple[str, ...]:
    """Returns the names of a layer's weights, without biases."""
    if is_op(node, "Gather"):
        return (node.input[0],)
    if is_op(node, "LSTM"):
        return (node.input[1], node.input[2])
    return (node.input[1],)


def possible_precisions(node: onnx.NodeProto, graph: Graph) -> tuple[Precision, ...]:
    """Returns the precisions that a node and its weights allow, fp32 first; fp32 alone if the node is not a layer."""
    only = (Precision.FP32,)
    kind = node.op_type
    if reads_constant(node, graph):
        return only
    if is_op(node, *_CONVOLUTIONS):
        return (*only, Precision.INT8) if _has_weights(node, graph, (1,), (2,)) else only
    if is_op(node, "MatMul", "Gemm"):
        if not _has_weights(node, graph, (1,), ()) or len(graph.initializers[node.input[1]].dims) != 2:
            return only
        if is_dequantize_output(node.input[0], graph):
            return only
        if kind == "MatMul":
            return _MATRIX
        options = attributes(node)
        if options.get("alpha", 1.0) != 1.0 or options.get("beta", 1.0) != 1.0:
            return only
        static = not options.get("transA", 0) and _has_row_bias(node, graph)
        return _MATRIX if static else tuple(p for p in _MATRIX if p is not Precision.INT8)
    if is_op(node, "LSTM"):
        able = _has_weights(node, graph, (1, 2), ()) and not int_attribute(node, "layout", 0) and not input_of(node, 7)
        return (*only, Precision.INT8_DYNAMIC) if able else only
    if is_op(node, "Attention", domain=MICROSOFT):
        able = _has_weights(node, graph, (1,), (2,)) and _is_integer_attention(node)
        return (*only, Precision.INT8_DYNAMIC) if able else only
    if is_op(node, "Gather") and not int_attribute(node, "axis", 0):
        table = graph.initializers.get(node.input[0])
        able = table is not None and table.data_type == onnx.TensorProto.FLOAT and len(table.dims) == 2
        if able and table is not None and math.prod(table.dims) >= MIN_EMBEDDING_WEIGHTS:
            return (*only, Precision.INT8_WEIGHT)
    return only


def reads_constant(node: onnx.NodeProto, graph: Graph) -> bool:
    """Returns whether a layer's input is the same in every run, such as learned queries.

    The runtime computes such a layer once, when it loads the model.
    """
    return not is_op(node, "Gather") and bool(node.input) and node.input[0] in graph.constants


def _has_weights(node: onnx.NodeProto, graph: Graph, weights: tuple[int, ...], biases: tuple[int, ...]) -> bool:
    needed = [input_of(node, index) for index in weights]
    needed += [input_of(node, index) for index in biases if input_of(node, index)]
    tensors = [graph.initializers.get(name) for name in needed]
    return all(t is not None and t.data_type == onnx.TensorProto.FLOAT and 0 not in t.dims for t in tensors)


def _has_row_bias(gemm: onnx.NodeProto, graph: Graph) -> bool:
    """Returns whether a Gemm has no bias, or a constant bias that is the same for each row."""
    name = input_of(gemm, 2)
    if not name:
        return True
    tensor = graph.initializers.get(name)
    outputs = graph.initializers[gemm.input[1]].dims[0 if int_attribute(gemm, "transB", 0) else 1]
    if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    return math.prod(tensor.dims[:-1]) == 1 and math.prod(tensor.dims[-1:]) in (1, outputs)


def _is_integer_attention(node: onnx.NodeProto) -> bool:
    """Returns whether QAttention can replace a node: it has no additive bias, no past, and q, k and v are of equal
    size."""
    plain = {"num_heads", "unidirectional", "mask_filter_value", "scale"}
    return not any(input_of(node, i) for i in (4, 5, 6)) and attributes(node).keys() <= plain and bool(node.input[2])


def _merge_layers(layers: list[onnx.NodeProto], graph: Graph) -> list[list[onnx.NodeProto]]:
    """Lists the layers that must share a decision; lists and their members are in graph order."""
    index = {node.name: position for position, node in enumerate(layers)}
    parent = list(range(len(layers)))

    def root(position: int) -> int:
        while parent[position] != position:
            parent[position] = parent[parent[position]]
            position = parent[position]
        return position

    def join(members: Iterable[str]) -> None:
        positions = sorted(root(index[name]) for name in members if name in index)
        for position in positions[1:]:
            parent[root(position)] = root(positions[0])

    same_input: defaultdict[str, list[str]] = defaultdict(list)
    same_weights: defaultdict[str, list[str]] = defaultdict(list)
    for node in layers:
        if is_op(node, "MatMul", "Gemm"):
            same_input[node.input[0]].append(node.name)
        for name in weight_names(node):
            # An embedding's rows and a product's columns are different decisions even on one tied table.
            same_weights[f"{is_op(node, 'Gather')} {name}"].append(node.name)
    for names in (*same_input.values(), *same_weights.values()):
        join(names)
    sources = _residual_sources(graph)
    for node in graph.proto.node:
        if is_op(node, *_SUMS):
            join(name for tensor in node.input for name in sources.get(tensor, ()))
    lists: defaultdict[int, list[onnx.NodeProto]] = defaultdict(list)
    for position, node in enumerate(layers):
        lists[root(position)].append(node)
    return [lists[key] for key in sorted(lists)]


def _residual_sources(graph: Graph) -> dict[str, frozenset[str]]:
    """Returns, by tensor, the convolutions whose outputs reach it without passing through another layer."""
    sources: dict[str, frozenset[str]] = {}
    for node in graph.proto.node:
        if is_op(node, *_CONVOLUTIONS):
            names = frozenset({node.name})
        elif is_op(node, *_PASSED):
            reached = [sources.get(tensor, frozenset()) for tensor in node.input]
            if is_op(node, *_SUMS) and not all(reached):
                continue  # one side is no convolution's output: the sum is never computed in int8
            names = frozenset().union(*reached)
        else:
            continue
        for tensor in node.output:
            if names:
                sources[tensor] = names
    return sources


def node_macs(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Counts the multiply-accumulates of one layer for these tensor shapes; 0 if a shape is unknown."""
    weight = shapes.get(input_of(node, 1), ())
    if is_op(node, "Gather"):
        return 0
    if is_op(node, "LSTM"):
        rows = _size(shapes.get(node.input[0], (None,))[:2])
        return rows * sum(_size(shapes.get(name, (None,))) for name in weight_names(node))
    if is_op(node, "Attention", domain=MICROSOFT):
        return _size(shapes.get(node.input[0], (None,))[:-1]) * _size(weight)
    if is_op(node, "Conv"):
        return _size(shapes.get(node.output[0], (None,))) * _size(weight[1:])
    if is_op(node, "ConvTranspose"):
        return _size(shapes.get(node.input[0], (None,))) * _size(weight[1:])
    if is_op(node, "Gemm"):
        inner = weight[1 if int_attribute(node, "transB", 0) else 0]
    else:
        inner = weight[0] if weight else None
    return _size((*shapes.get(node.output[0], (None,)), inner))


def node_reads_and_writes(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> tuple[int, int]:
    """Counts the values that one layer reads, without weights, and writes; unknown shapes count as 0."""
    inputs = () if is_op(node, "Gather") else node.input[:1]
    sizes = (sum(_size(shapes.get(name, (None,))) for name in names if name) for names in (inputs, node.output))
    return next(sizes), next(sizes)


def _size(shape: Sequence[int | None]) -> int:
    return math.prod(0 if dim is None else dim for dim in shape)


def _group_names(groups: Sequence[Sequence[onnx.NodeProto]]) -> list[str]:
    """Names each group: a short name if it is unique, else with the operators' names, else numbered."""
    short = [join_names([_path(node) for node in members]) for members in groups]
    long = [join_names([_parts(node.name) for node in members]) for members in groups]
    return number_names(brief if short.count(brief) == 1 else full for brief, full in zip(short, long, strict=True))


def number_names(wanted: Iterable[str]) -> list[str]:
    """Makes names unique: the second of two equal names gets ``#2``."""
    names: list[str] = []
    for base in wanted:
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}#{number}"
        names.append(name)
    return names


def join_names(paths: list[list[str]]) -> str:
    """Joins the paths of nodes to one name: common part, then the parts that differ: ``layers.0/attention/q+k+v``."""
    if len(paths) == 1:
        return "/".join(paths[0])
    depth = 0
    while all(len(path) > depth + 1 for path in paths) and len({path[depth] for path in paths}) == 1:
        depth += 1
    tails = list(dict.fromkeys("/".join(path[depth:]) for path in paths))
    shown = tails if len(tails) <= 4 else [*tails[:2], f"{len(tails) - 2} more"]
    return "/".join([*paths[0][:depth], "+".join(shown)])


def _path(node: onnx.NodeProto) -> list[str]:
    """Splits a node's name, without the operator that exporters append: ``/3/c1/Conv`` gives ``3``, ``c1``.

    Newer exporters number their nodes; a layer's path is then read from the names of its weights.
    """
    parts = _parts(node.name)
    if len(parts) > 1:
        return parts[:-1] if re.fullmatch(rf"{node.op_type}(_\d+)?", parts[-1]) else parts
    weight = re.fullmatch(r"(\w[\w.]*)\.weight", weight_names(node)[0])
    return weight[1].split(".") if weight else parts


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part] or [name]
