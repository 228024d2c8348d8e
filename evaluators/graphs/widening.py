"""Converts models in half precision to float32, from which candidates start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from evaluators.graphs.graph import Names, names_in
from evaluators.graphs.model import all_nodes, subgraphs
from evaluators.graphs.shapes import element_types

_FLOAT, _HALF, _BRAIN = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16
_NARROW = {_HALF: "float16", _BRAIN: "bfloat16"}

_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision"})
"""Attributes that name an element type."""


def narrow_types(model: onnx.ModelProto) -> tuple[str, ...]:
    """Returns the 16-bit floating-point types among a model's weights and constants."""
    kinds = {tensor.data_type for graph in _graphs(model.graph) for tensor in _tensors(graph)}
    return tuple(name for kind, name in _NARROW.items() if kind in kinds)


def widening_note(types: Sequence[str]) -> str:
    """Returns a note for the owner of a model with these 16-bit types."""
    return (
        f"the model's {' and '.join(types)} numbers were converted to float32: sizes and speed-ups compare with the "
        "float32 model, not with the file that was given"
    )


def widen_to_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy with float32 in place of float16 and bfloat16; the model itself if it has neither.

    Inputs and outputs of float16 keep their type, behind a Cast; those of bfloat16, which NumPy lacks, become float32.
    """
    if not narrow_types(model):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    half_inputs = [value.name for value in copy.graph.input if value.type.tensor_type.elem_type == _HALF]
    half_outputs = [value.name for value in copy.graph.output if value.type.tensor_type.elem_type == _HALF]
    for graph in _graphs(copy.graph):
        for tensor in _tensors(graph):
            _widen(tensor)
        for value in (*graph.input, *graph.output, *graph.value_info):
            _widen_type(value.type)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in _TYPE_ATTRIBUTES and attribute.i in _NARROW:
                    attribute.i = _FLOAT
    _keep_halves(copy.graph, half_inputs, half_outputs)
    _drop_casts(copy)
    return copy


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _graphs(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yields the weights and constants of a graph, not those of the graphs inside its nodes."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor"):
                yield attribute.sparse_tensor.values


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _NARROW:
        values = np.asarray(numpy_helper.to_array(tensor)).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _widen_type(kind: onnx.TypeProto) -> None:
    if kind.HasField("tensor_type") and kind.tensor_type.elem_type in _NARROW:
        kind.tensor_type.elem_type = _FLOAT
    if kind.HasField("sequence_type"):
        _widen_type(kind.sequence_type.elem_type)
    if kind.HasField("optional_type"):
        _widen_type(kind.optional_type.elem_type)


def _keep_halves(graph: onnx.GraphProto, inputs: list[str], outputs: list[str]) -> None:
    """Adds casts from float16 inputs and to float16 outputs, which keep their names."""
    taken = Names(set(names_in(graph)))
    wide = {name: taken.fresh(f"{name}_float32") for name in (*inputs, *outputs)}
    for inner in _graphs(graph):
        for node in inner.node:
            for names in (node.input, node.output):
                for position, name in enumerate(names):
                    if name in wide:
                        names[position] = wide[name]
        if inner is not graph:
            for value in inner.output:  # a branch may return an outer tensor
                value.name = wide.get(value.name, value.name)
    before = [onnx.helper.make_node("Cast", [name], [wide[name]], f"{name}/to_float32", to=_FLOAT) for name in inputs]
    after = [
        onnx.helper.make_node("Cast", [wide[name]], [name], f"{name}/to_float16", to=_HALF)
        for name in outputs
        if name not in inputs
    ]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*before, *nodes, *after])
    for value in (*graph.input, *graph.output):
        if value.name in wide:
            value.type.tensor_type.elem_type = _HALF
    for value in graph.value_info:
        value.name = wide.get(value.name, value.name)


def _drop_casts(model: onnx.ModelProto) -> None:
    """Replaces casts between two floating-point types that are now both float32 by Identity."""
    types = element_types(model)
    for node in all_nodes(model.graph):
        if node.op_type == "Cast" and types.get(node.input[0]) == types.get(node.output[0]) == _FLOAT:
            node.op_type = "Identity"
            del node.attribute[:]
