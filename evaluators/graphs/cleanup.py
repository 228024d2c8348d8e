"""The graph that every candidate of a model starts from, the fp32 baseline included."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from evaluators.graphs import folding
from evaluators.graphs.graph import Graph, Names, input_of, int_attribute, is_op
from evaluators.graphs.model import make_loadable
from evaluators.graphs.shapes import infer_shapes
from evaluators.graphs.widening import widen_to_float32


def clean_graph(model: onnx.ModelProto, *, consumed: bool = False) -> onnx.ModelProto:
    """Rewrites a model into the form that layer groups, calibration and quantisation expect; outputs agree to 1e-5.

    - Every node has a name, constants are initializers, Identity and inference Dropout are removed.
    - Batch normalisation, constant scales and shifts, and zero padding are folded into the adjacent convolution.
    - Means over all spatial axes become GlobalAveragePool.
    - A matrix product and its bias become one Gemm, with alpha and beta 1.
    - 16-bit floats become float32.

    Returns a new model, unless the source is ``consumed``: a large model is then changed in place instead of copied.
    Cleaning a clean model changes nothing.

    No shapes are added to the model: given more shapes, ONNX Runtime would merge more nodes, for example into
    SkipLayerNormalization, which is slower on CPUs than the nodes it replaces (see
    :func:`evaluators.graphs.fusion.separate_norms`). The baseline must be as fast as its owner's file.

    Raises:
        InvalidInput: see :func:`evaluators.graphs.model.make_loadable`.
    """
    original_infos = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in model.graph.value_info]
    copy = widen_to_float32(model)
    if copy is model and not consumed:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
    copy = make_loadable(copy)
    _constants_to_initializers(copy.graph)
    _drop_pass_through(copy.graph)
    folding.fold_weight_views(copy.graph)
    ranks = _ranks(copy)
    _means_to_pools(copy.graph, ranks)
    folding.squeeze_weights(copy.graph, ranks)
    folding.fold_product_biases(copy.graph, ranks)
    folding.fold_padding(copy.graph)
    folding.fold_channelwise(copy.graph)
    folding.fold_gemm_factors(copy.graph)
    _drop_dead_ends(copy.graph)
    name_nodes_in_place(copy)
    produced = {name for node in copy.graph.node for name in node.output}
    declared = [value for value in original_infos if value.name in produced]
    del copy.graph.value_info[:]
    copy.graph.value_info.extend(declared)
    return copy


def name_nodes_in_place(model: onnx.ModelProto) -> None:
    """Gives every top-level node of a model a unique name.

    A nameless node is named after its operator and position; of two nodes with one name, the second gets a number.
    """
    taken = Names({node.name for node in model.graph.node if node.name})
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name:
            node.name = taken.fresh(f"{node.op_type}_{index}")
        elif node.name in seen:
            node.name = taken.fresh(node.name)
        seen.add(node.name)


def with_node_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model itself if its top-level nodes have unique names, else a copy in which they do.

    The names are those of :func:`name_nodes_in_place`.
    """
    names = [node.name for node in model.graph.node]
    if all(names) and len(set(names)) == len(names):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    name_nodes_in_place(copy)
    return copy


def _replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    nodes = []
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        value = _constant_value(node) if is_op(node, "Constant") and node.output[0] not in outputs else None
        if value is None:
            nodes.append(node)
        else:
            tensor = graph.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
    _replace_nodes(graph, nodes)


def _constant_value(node: onnx.NodeProto) -> onnx.TensorProto | None:
    (attribute,) = node.attribute
    if attribute.name == "value":
        return attribute.t
    kinds = {
        "value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64,
    }  # fmt: skip
    if attribute.name not in kinds:
        return None
    value = onnx.helper.get_attribute_value(attribute)
    return numpy_helper.from_array(np.asarray(value, kinds[attribute.name]))


def _drop_pass_through(graph: onnx.GraphProto) -> None:
    """Removes Identity and Dropout nodes, renaming their input to their output or the reverse."""
    while True:
        index = Graph(graph)
        for position, node in enumerate(graph.node):
            if not _is_pass_through(node, index):
                continue
            source, target = node.input[0], node.output[0]
            if target not in index.outputs and target not in index.inner_readers:
                _rename_inputs(index.consumers.get(target, []), target, source)
            elif source in index.producers and source not in index.outputs and source not in index.inner_readers:
                producer = index.producers[source]
                producer.output[list(producer.output).index(source)] = target
                _rename_inputs(index.consumers[source], source, target)
            else:
                continue
            del graph.node[position]
            break
        else:
            return


def _is_pass_through(node: onnx.NodeProto, index: Graph) -> bool:
    if is_op(node, "Identity"):
        return True
    if not is_op(node, "Dropout") or any(index.readers(name) or name in index.outputs for name in node.output[1:]):
        return False
    training = input_of(node, 2)
    value = index.constant(training) if training else np.False_
    return value is not None and not bool(value)


def _rename_inputs(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = new


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Returns the ranks of float tensors, as far as inference knows them."""
    inferred = infer_shapes(model, {}, first=None)
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info)
        if value.type.tensor_type.HasField("shape") and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }


def _means_to_pools(graph: onnx.GraphProto, ranks: Mapping[str, int]) -> None:
    """Replaces ReduceMean over all spatial axes by GlobalAveragePool, which has an integer kernel."""
    index, names = Graph(graph), Names(Graph(graph).tensor_names())
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        rank = ranks.get(node.input[0], 0) if node.input else 0
        if not is_op(node, "ReduceMean") or not _is_global_pool(node, index, rank):
            nodes.append(node)
            continue
        keepdims = int_attribute(node, "keepdims", 1)
        pooled = node.output[0] if keepdims else names.fresh(f"{node.output[0]}_pooled")
        nodes.append(onnx.helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], name=node.name))
        if not keepdims:
            flat_name = f"{node.name}/Flatten" if node.name else ""
            nodes.append(onnx.helper.make_node("Flatten", [pooled], [node.output[0]], name=flat_name, axis=1))
    _replace_nodes(graph, nodes)


def _is_global_pool(node: onnx.NodeProto, index: Graph, rank: int) -> bool:
    """Returns whether a mean is the pooling of a convolutional network, not part of a normalisation."""
    if rank < 3 or _axes(node, index, rank) != list(range(2, rank)):
        return False
    if any(is_op(reader, "Sub") for reader in index.readers(node.output[0])):
        return False
    producer = index.producers.get(node.input[0])
    while producer is not None and is_op(producer, "Relu", "Clip", "LeakyRelu", "MaxPool", "AveragePool"):
        producer = index.producers.get(producer.input[0])
    # With a single axis it is more often a mean over features, (batch, tokens, features).
    return rank > 3 or (producer is not None and is_op(producer, "Conv", "ConvTranspose"))


def _axes(node: onnx.NodeProto, index: Graph, rank: int) -> list[int] | None:
    axes: object = next((list(a.ints) for a in node.attribute if a.name == "axes"), None)
    if axes is None and input_of(node, 1):
        value = index.constant(node.input[1])
        axes = None if value is None else [int(axis) for axis in value.ravel()]
    return sorted(axis % rank for axis in axes) if isinstance(axes, list) else None


def _drop_dead_ends(graph: onnx.GraphProto) -> None:
    """Drops nodes whose outputs nothing reads, then weights that nothing reads."""
    while True:
        index = Graph(graph)
        nodes = [node for node in graph.node if any(_is_read(name, index) for name in node.output)]
        if len(nodes) == len(graph.node):
            break
        _replace_nodes(graph, nodes)
    weights = [tensor for tensor in graph.initializer if _is_read(tensor.name, index)]
    if len(weights) < len(graph.initializer):
        copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in weights]
        del graph.initializer[:]
        graph.initializer.extend(copies)


def _is_read(tensor: str, index: Graph) -> bool:
    return tensor != "" and (tensor in index.outputs or bool(index.readers(tensor)))
