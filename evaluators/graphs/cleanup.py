"""The graph that every candidate of a model starts from, the fp32 baseline included."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from evaluators.graphs import folding
from evaluators.graphs.graph import Graph, Names, input_of, int_attribute, is_op
from evaluators.graphs.model import supported
from evaluators.graphs.shapes import inferred_graph
from evaluators.graphs.widening import widened


def prepared(model: onnx.ModelProto, *, consumed: bool = False) -> onnx.ModelProto:
    """A model that computes the same (within 1e-5) in the form that layers, calibration and quantisation expect.

    Every node has a name, constants are initializers, Identity and inference Dropout are gone; batch normalisation,
    constant scales and shifts and zero padding are folded into the convolution before or after them; means over all
    spatial axes are GlobalAveragePool; a matrix product and its bias are one Gemm, with alpha and beta 1; 16-bit floats
    are float32. The source stays as it is, unless it is ``consumed``: a large model is then changed itself, not copied.
    Preparing twice changes nothing more.

    No shapes are written into the model beyond those that it came with: with more of them ONNX Runtime finds more to
    merge, SkipLayerNormalization for one, which is slower on CPUs than what it replaces (see
    :func:`evaluators.graphs.fusion.separate_norms`). The baseline is to be as fast as its owner's file.

    Raises:
        InvalidInput: as :func:`evaluators.graphs.model.supported` does.
    """
    came_with = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in model.graph.value_info]
    copy = widened(model)
    if copy is model and not consumed:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
    copy = supported(copy)
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
    _drop_unused(copy.graph)
    copy = named(copy)
    made = {name for node in copy.graph.node for name in node.output}
    declared = [value for value in came_with if value.name in made]
    del copy.graph.value_info[:]
    copy.graph.value_info.extend(declared)
    return copy


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, changed in place, whose top-level nodes all have unique names.

    A nameless node is called after its operator and its position; of two nodes of one name the second gets a number.
    """
    taken = Names({node.name for node in model.graph.node if node.name})
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name:
            node.name = taken.fresh(f"{node.op_type}_{index}")
        elif node.name in seen:
            node.name = taken.fresh(node.name)
        seen.add(node.name)
    return model


def _replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    kept = []
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        value = _constant_value(node) if is_op(node, "Constant") and node.output[0] not in outputs else None
        if value is None:
            kept.append(node)
        else:
            tensor = graph.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
    _replace_nodes(graph, kept)


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
    """Dimensions of the float tensors whose rank can be told."""
    inferred = inferred_graph(model, {}, first=None)
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info)
        if value.type.tensor_type.HasField("shape") and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }


def _means_to_pools(graph: onnx.GraphProto, ranks: Mapping[str, int]) -> None:
    """ReduceMean over every spatial axis becomes GlobalAveragePool, which has an integer kernel."""
    index, names = Graph(graph), Names(Graph(graph).used_names())
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        rank = ranks.get(node.input[0], 0) if node.input else 0
        if not is_op(node, "ReduceMean") or not _is_global_pool(node, index, rank):
            kept.append(node)
            continue
        keep = int_attribute(node, "keepdims", 1)
        pooled = node.output[0] if keep else names.fresh(f"{node.output[0]}_pooled")
        kept.append(onnx.helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], name=node.name))
        if not keep:
            flat_name = f"{node.name}/Flatten" if node.name else ""
            kept.append(onnx.helper.make_node("Flatten", [pooled], [node.output[0]], name=flat_name, axis=1))
    _replace_nodes(graph, kept)


def _is_global_pool(node: onnx.NodeProto, index: Graph, rank: int) -> bool:
    """Whether a mean is a convolutional net's pooling, and no part of a normalisation written out."""
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
    given: object = next((list(a.ints) for a in node.attribute if a.name == "axes"), None)
    if given is None and input_of(node, 1):
        value = index.constant(node.input[1])
        given = None if value is None else [int(axis) for axis in value.ravel()]
    return sorted(axis % rank for axis in given) if isinstance(given, list) else None


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Drops weights that nothing reads and nodes that lead nowhere."""
    while True:
        index = Graph(graph)
        nodes = [node for node in graph.node if any(_is_read(name, index) for name in node.output)]
        if len(nodes) == len(graph.node):
            break
        _replace_nodes(graph, nodes)
    weights = [tensor for tensor in graph.initializer if _is_read(tensor.name, index)]
    if len(weights) < len(graph.initializer):
        kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in weights]
        del graph.initializer[:]
        graph.initializer.extend(kept)


def _is_read(tensor: str, index: Graph) -> bool:
    return tensor != "" and (tensor in index.outputs or bool(index.readers(tensor)))
