"""Infers the shapes of a model's tensors without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import shape_inference

from evaluators.graphs.graph import Graph

Shape = tuple[int | None, ...]

_LARGE_BYTES = 4096  # larger weights cannot be shapes: inference gets only their types, which is much faster


def tensor_shapes(model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None) -> dict[str, Shape]:
    """Infers shapes by tensor name, inputs and weights included; an unknown dimension is None.

    ``input_shapes`` fixes the shapes of inputs by name; a free first dimension of any other input becomes 1. Tensors of
    unknown rank are absent.
    """
    inferred = infer_shapes(model, input_shapes or {}, first=1)
    shapes = {value.name: _shape(value) for value in (*inferred.input, *inferred.output, *inferred.value_info)}
    shapes.update({tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer})
    return {name: shape for name, shape in shapes.items() if shape is not None}


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Infers ONNX element types by tensor name; tensors of unknown type are absent."""
    inferred = infer_shapes(model, {}, first=None)
    types = {
        value.name: int(value.type.tensor_type.elem_type)
        for value in (*inferred.input, *inferred.output, *inferred.value_info)
    }
    types.update({tensor.name: int(tensor.data_type) for tensor in model.graph.initializer})
    return {name: kind for name, kind in types.items() if kind}


def infer_shapes(
    model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]], *, first: int | None
) -> onnx.GraphProto:
    """Returns the graph without its large weights; ``value_info`` holds the shapes that inference found.

    ``first`` replaces a free first dimension of inputs that ``input_shapes`` does not name.
    """
    skeleton = onnx.ModelProto(ir_version=model.ir_version)
    skeleton.opset_import.extend(model.opset_import)
    graph, source = skeleton.graph, model.graph
    graph.name = source.name or "graph"
    graph.node.extend(source.node)
    graph.output.extend(source.output)
    graph.sparse_initializer.extend(source.sparse_initializer)
    fed = Graph(source).inputs
    for value in source.input:
        if value.name not in fed:
            continue
        graph.input.append(value)
        dims = graph.input[-1].type.tensor_type.shape.dim
        sizes = input_shapes.get(value.name)
        if sizes is not None and len(sizes) == len(dims):
            for dim, size in zip(dims, sizes, strict=True):
                dim.dim_value = int(size)
        elif first is not None and len(dims) and not dims[0].HasField("dim_value"):
            dims[0].dim_value = first
    if input_shapes:
        for value in graph.output:  # declared symbols would contradict the fixed sizes
            value.type.tensor_type.ClearField("shape")
    for tensor in source.initializer:
        if len(tensor.raw_data) > _LARGE_BYTES:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tuple(tensor.dims)))
        else:
            graph.initializer.append(tensor)
    try:
        return shape_inference.infer_shapes(skeleton, data_prop=True).graph
    except (shape_inference.InferenceError, RuntimeError):
        return graph


def _shape(value: onnx.ValueInfoProto) -> Shape | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(int(dim.dim_value) if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
