"""Which layers of a model share one decision, and in which precisions each can be executed."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx

from evaluators.graphs.cleanup import named
from evaluators.graphs.graph import Graph, attributes, input_of, int_attribute, is_op
from evaluators.graphs.model import MICROSOFT
from evaluators.graphs.shapes import Shape, tensor_shapes
from hwprofiles.precision import Precision

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_SUMS = ("Add", "Sum")

# What a convolution's output passes on its way to a residual sum without needing a precision of its own.
_PASSED = (
    "Add", "Sum", "Relu", "Clip", "LeakyRelu", "BatchNormalization", "MaxPool", "AveragePool", "Reshape", "Flatten",
    "Transpose", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Pad",
)  # fmt: skip

_MATRIX = (
    Precision.FP32, Precision.INT8, Precision.INT8_DYNAMIC, Precision.INT8_WEIGHT, Precision.INT4_WEIGHT,
)  # fmt: skip

MIN_EMBEDDING_WEIGHTS = 4096
"""Smaller tables are not worth a decision."""


@dataclass(frozen=True)
class LayerGroup:
    """Layers that share one precision.

    ``nodes`` are names of nodes, ``precisions`` what the operators allow in principle (a device may gain nothing by
    some), ``macs`` multiply-accumulates for one sample (0 where shapes are unknown), ``weights`` the number of trained
    values that a precision applies to, shared ones counted once, ``values`` how many other values the layers read and
    write for one sample (as for ``macs``).
    """

    name: str
    nodes: tuple[str, ...]
    kind: str
    precisions: tuple[Precision, ...]
    macs: int
    weights: int
    values: int = 0


def layer_groups(
    model: onnx.ModelProto,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    shapes: Mapping[str, Shape] | None = None,
) -> tuple[LayerGroup, ...]:
    """The decisions of a model, in graph order. Their work is that of these ``shapes`` by tensor name
    (:func:`evaluators.graphs.run_shapes.shapes_in_run`), by default of what can be told from ``input_shapes``.

    One decision for: convolutions whose outputs meet in a residual sum (it is computed in int8 only when all of them
    are), matrix products of one input tensor (q/k/v; they share its quantisation), and nodes that share weights. Layers
    inside If, Loop and Scan, products of two activations, layers whose input is a constant, and those whose weights are
    computed or not float32 are not decisions: they stay as they are (:mod:`evaluators.graphs.left_alone` says why).
    """
    named(model)
    graph = Graph(model.graph)
    layers = [node for node in model.graph.node if len(possible_precisions(node, graph)) > 1]
    shapes = tensor_shapes(model, input_shapes) if shapes is None else shapes
    merged = _merged(layers, graph)
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
            )
        )
    return tuple(groups)


def under_first_names(groups: Iterable[LayerGroup], first: Iterable[LayerGroup]) -> tuple[LayerGroup, ...]:
    """The groups of a changed model under the names that its nodes' groups had in the ``first`` one. Where what tied
    layers together is gone, they still share the decision that they have."""
    names = {node: group.name for group in first for node in group.nodes}
    found: dict[str, LayerGroup] = {}
    for group in groups:
        name = names.get(group.nodes[0], group.name)
        other = found.get(name)
        if other is not None:
            group = replace(
                other, nodes=other.nodes + group.nodes, macs=other.macs + group.macs,
                precisions=tuple(p for p in other.precisions if p in group.precisions),
                weights=other.weights + group.weights, values=other.values + group.values,
            )  # fmt: skip
        found[name] = replace(group, name=name)
    return tuple(found.values())


def weight_names(node: onnx.NodeProto) -> tuple[str, ...]:
    """The inputs of a layer that hold its weights (biases aside)."""
    if is_op(node, "Gather"):
        return (node.input[0],)
    if is_op(node, "LSTM"):
        return (node.input[1], node.input[2])
    return (node.input[1],)


def possible_precisions(node: onnx.NodeProto, graph: Graph) -> tuple[Precision, ...]:
    """What the operator and its weights allow, fp32 first; fp32 alone for anything that is not a layer."""
    only = (Precision.FP32,)
    kind = node.op_type
    if reads_constant(node, graph):
        return only
    if is_op(node, *_CONVOLUTIONS):
        return (*only, Precision.INT8) if _has_weights(node, graph, (1,), (2,)) else only
    if is_op(node, "MatMul", "Gemm"):
        if not _has_weights(node, graph, (1,), ()) or len(graph.initializers[node.input[1]].dims) != 2:
            return only
        if _is_quantized(node.input[0], graph):
            return only
        if kind == "MatMul":
            return _MATRIX
        known = attributes(node)
        if known.get("alpha", 1.0) != 1.0 or known.get("beta", 1.0) != 1.0:
            return only
        static = not known.get("transA", 0) and _has_row_bias(node, graph)
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
    """Whether the input of a layer is the same in every run (learned queries, say): the runtime computes such a layer
    once, when it loads the model."""
    return not is_op(node, "Gather") and bool(node.input) and node.input[0] in graph.constants


def _has_weights(node: onnx.NodeProto, graph: Graph, weights: tuple[int, ...], biases: tuple[int, ...]) -> bool:
    needed = [input_of(node, index) for index in weights]
    needed += [input_of(node, index) for index in biases if input_of(node, index)]
    tensors = [graph.initializers.get(name) for name in needed]
    return all(t is not None and t.data_type == onnx.TensorProto.FLOAT and 0 not in t.dims for t in tensors)


def _has_row_bias(gemm: onnx.NodeProto, graph: Graph) -> bool:
    """Whether a Gemm has no bias, or a constant one that is the same for each row."""
    name = input_of(gemm, 2)
    if not name:
        return True
    tensor = graph.initializers.get(name)
    outputs = graph.initializers[gemm.input[1]].dims[0 if int_attribute(gemm, "transB", 0) else 1]
    if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    return math.prod(tensor.dims[:-1]) == 1 and math.prod(tensor.dims[-1:]) in (1, outputs)


def _is_quantized(tensor: str, graph: Graph) -> bool:
    producer = graph.producers.get(tensor)
    return producer is not None and is_op(producer, "DequantizeLinear")


def _is_integer_attention(node: onnx.NodeProto) -> bool:
    """QAttention knows a mask index, but no additive bias, no past and only equal sizes of q, k and v."""
    plain = {"num_heads", "unidirectional", "mask_filter_value", "scale"}
    return not any(input_of(node, i) for i in (4, 5, 6)) and attributes(node).keys() <= plain and bool(node.input[2])


def _merged(layers: list[onnx.NodeProto], graph: Graph) -> list[list[onnx.NodeProto]]:
    """Connected layers, each list and the lists themselves in graph order."""
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
    """By tensor, the convolutions whose outputs reach it without passing through another layer."""
    sources: dict[str, frozenset[str]] = {}
    for node in graph.proto.node:
        if is_op(node, *_CONVOLUTIONS):
            found = frozenset({node.name})
        elif is_op(node, *_PASSED):
            reached = [sources.get(tensor, frozenset()) for tensor in node.input]
            if is_op(node, *_SUMS) and not all(reached):
                continue  # one side is no convolution's: this sum is never computed in int8
            found = frozenset().union(*reached)
        else:
            continue
        for tensor in node.output:
            if found:
                sources[tensor] = found
    return sources


def node_macs(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Multiply-accumulates of one layer with these tensor shapes, 0 where one is unknown."""
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
    """Values that one layer reads (its weights aside) and writes; those of unknown shape are not counted."""
    read = () if is_op(node, "Gather") else node.input[:1]
    sizes = (sum(_size(shapes.get(name, (None,))) for name in names if name) for names in (read, node.output))
    return next(sizes), next(sizes)


def _size(shape: Sequence[int | None]) -> int:
    return math.prod(0 if dim is None else dim for dim in shape)


def _group_names(groups: Sequence[Sequence[onnx.NodeProto]]) -> list[str]:
    """A name for each group: short where that is unique, else with the operators' own names, else numbered."""
    short = [joined_name([_path(node) for node in members]) for members in groups]
    long = [joined_name([_parts(node.name) for node in members]) for members in groups]
    return numbered(brief if short.count(brief) == 1 else full for brief, full in zip(short, long, strict=True))


def numbered(wanted: Iterable[str]) -> list[str]:
    """These names, each once: the second of two that are equal gets ``#2``."""
    names: list[str] = []
    for base in wanted:
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}#{number}"
        names.append(name)
    return names


def joined_name(paths: list[list[str]]) -> str:
    """One name for nodes: their common path, then what differs, as in ``layers.0/attention/q+k+v``."""
    if len(paths) == 1:
        return "/".join(paths[0])
    depth = 0
    while all(len(path) > depth + 1 for path in paths) and len({path[depth] for path in paths}) == 1:
        depth += 1
    tails = list(dict.fromkeys("/".join(path[depth:]) for path in paths))
    shown = tails if len(tails) <= 4 else [*tails[:2], f"{len(tails) - 2} more"]
    return "/".join([*paths[0][:depth], "+".join(shown)])


def _path(node: onnx.NodeProto) -> list[str]:
    """The parts of a node's name without the operator's, as exporters add it: ``/3/c1/Conv`` is ``3``, ``c1``.

    Newer exporters number their nodes and keep a layer's path in the names of its weights only.
    """
    parts = _parts(node.name)
    if len(parts) > 1:
        return parts[:-1] if re.fullmatch(rf"{node.op_type}(_\d+)?", parts[-1]) else parts
    weight = re.fullmatch(r"(\w[\w.]*)\.weight", weight_names(node)[0])
    return weight[1].split(".") if weight else parts


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part] or [name]
