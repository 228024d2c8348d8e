"""Indexes a graph: producers and readers of tensors, and constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from evaluators.graphs.model import DEFAULT_DOMAINS, subgraphs

_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")


class Graph:
    """An index over a graph; build a new one after changing the graph.

    A node with subgraphs counts as a reader of every outer tensor that its subgraphs use.
    """

    def __init__(self, proto: onnx.GraphProto) -> None:
        self.proto = proto
        self.initializers: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in proto.initializer}
        self.inputs = {value.name for value in proto.input} - self.initializers.keys()
        self.outputs = {value.name for value in proto.output}
        self.producers: dict[str, onnx.NodeProto] = {}
        self.consumers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
        self.inner_readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in proto.node:
            for name in node.output:
                if name:
                    self.producers[name] = node
            for name in dict.fromkeys(node.input):
                if name:
                    self.consumers[name].append(node)
            for name in outer_names(node):
                self.inner_readers[name].append(node)

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """Nodes that read a tensor, directly or in a subgraph; a node that does both appears twice."""
        return [*self.consumers.get(tensor, ()), *self.inner_readers.get(tensor, ())]

    def is_private(self, tensor: str) -> bool:
        """Returns whether exactly one node reads the tensor, directly, and it is no output of the graph."""
        return tensor not in self.outputs and len(self.readers(tensor)) == 1 and tensor in self.consumers

    def only_reader(self, tensor: str) -> onnx.NodeProto | None:
        """Returns the only node that reads the tensor; None if there are several or none, or if it is an output."""
        return self.consumers[tensor][0] if self.is_private(tensor) else None

    def constant_tensor(self, name: str) -> onnx.TensorProto | None:
        """Returns the tensor of a constant: an initializer, or the value of a Constant node; else None."""
        if name in self.initializers:
            return self.initializers[name]
        node = self.producers.get(name)
        if node is not None and is_op(node, "Constant"):
            return next((a.t for a in node.attribute if a.name == "value"), None)
        return None

    def constant(self, name: str) -> NDArray[np.generic] | None:
        """Returns the value of a constant; None for a tensor that is computed or fed."""
        tensor = self.constant_tensor(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    @cached_property
    def constants(self) -> frozenset[str]:
        """Tensors that are the same in every run: initializers, and tensors computed from them alone."""
        constants = {*self.initializers, *(tensor.values.name for tensor in self.proto.sparse_initializer)}
        for node in self.proto.node:
            inputs = [name for name in node.input if name]
            fixed = is_op(node, "Constant") or (bool(inputs) and constants.issuperset(inputs))
            if fixed and not is_op(node, *_RANDOM) and not any(subgraphs(node)):
                constants.update(name for name in node.output if name)
        return frozenset(constants)

    def tensor_names(self) -> set[str]:
        """Returns every tensor name of this graph and its subgraphs."""
        return set(names_in(self.proto))


class Names:
    """Hands out names that a graph does not use yet; the same requests give the same names."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = set(taken)

    def fresh(self, wanted: str) -> str:
        """Returns ``wanted``, with the lowest free number appended if it is taken."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


def is_op(node: onnx.NodeProto, *op_types: str, domain: str = "") -> bool:
    """Returns whether a node is one of these operators of a domain."""
    mine = "" if node.domain in DEFAULT_DOMAINS else node.domain
    return node.op_type in op_types and mine == domain


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    """Returns a node's attributes as Python values."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def int_attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """Returns an integer attribute."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def float_attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    """Returns a float attribute."""
    return next((float(a.f) for a in node.attribute if a.name == name), default)


def text_attribute(node: onnx.NodeProto, name: str, default: str) -> str:
    """Returns a string attribute."""
    return next((a.s.decode() for a in node.attribute if a.name == name), default)


def input_of(node: onnx.NodeProto, index: int) -> str:
    """Returns the name of an input, "" if it is omitted."""
    return node.input[index] if index < len(node.input) else ""


def names_in(graph: onnx.GraphProto) -> Iterator[str]:
    """Yields every tensor name in a graph and its subgraphs."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
    yield from (tensor.name for tensor in graph.initializer)
    yield from (tensor.values.name for tensor in graph.sparse_initializer)
    for node in graph.node:
        yield from node.input
        yield from node.output
        for inner in subgraphs(node):
            yield from names_in(inner)


def outer_names(node: onnx.NodeProto) -> list[str]:
    """Returns the outer tensors that the subgraphs of a node use, each once."""
    return list(dict.fromkeys(name for inner in subgraphs(node) for name in _free_names(inner)))


def is_dequantize_output(tensor: str, graph: Graph) -> bool:
    """Returns whether a DequantizeLinear node produces the tensor."""
    producer = graph.producers.get(tensor)
    return producer is not None and is_op(producer, "DequantizeLinear")


def _free_names(graph: onnx.GraphProto) -> Iterator[str]:
    bound = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    bound |= {tensor.values.name for tensor in graph.sparse_initializer}
    for node in graph.node:
        yield from (name for name in node.input if name and name not in bound)
        for inner in subgraphs(node):
            yield from (name for name in _free_names(inner) if name not in bound)
        bound.update(node.output)
    yield from (value.name for value in graph.output if value.name not in bound)
