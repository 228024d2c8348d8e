"""Edits of a graph: a source model, replacements of its nodes, and new initializers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from evaluators.graphs.graph import Graph, outer_names
from evaluators.graphs.model import MICROSOFT
from evaluators.quantize.weights import IntegerWeight, Weights
from hwprofiles.errors import BuildFailed


class Source:
    """The unchanging part that all candidates of one model share: its graph and its integer weights.

    A new tensor's name is a source name, ``mark`` and a role, so it depends only on the candidate. The mark occurs in
    no source name.
    """

    def __init__(self, model: onnx.ModelProto, graph: Graph, weights: Weights, mark: str) -> None:
        self.model, self.graph, self.weights, self.mark = model, graph, weights, mark


def free_mark(graph: Graph) -> str:
    """Returns a string that no name of a tensor or node contains."""
    mark = "@"
    taken = [*graph.tensor_names(), *(node.name for node in graph.proto.node)]
    while any(mark in name for name in taken):
        mark += "@"
    return mark


class GraphEdit:
    """Collects replacements of nodes, inserted nodes and new initializers, and builds the edited model."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._replaced: dict[str, list[onnx.NodeProto]] = {}
        self._before: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
        self._after: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._shared: dict[tuple[str, str], tuple[str, ...]] = {}

    def name(self, base: str, role: str) -> str:
        """Returns the name of a new tensor or node, derived from a source name."""
        return f"{base}{self.source.mark}{role}"

    def replace(self, node: onnx.NodeProto, nodes: Sequence[onnx.NodeProto]) -> None:
        """Replaces a source node by other nodes."""
        self._replaced[node.name] = list(nodes)

    def editable(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Returns a copy of a source node that may be changed and replaces it."""
        if node.name not in self._replaced:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            self._replaced[node.name] = [copy]
        (copy,) = self._replaced[node.name]
        return copy

    def precede(self, node: onnx.NodeProto, nodes: Iterable[onnx.NodeProto]) -> None:
        """Inserts nodes directly before a source node."""
        self._before[node.name].extend(nodes)

    def follow(self, tensor: str, nodes: Iterable[onnx.NodeProto]) -> None:
        """Inserts nodes after the producer of a source tensor, or at the start if the tensor is an input.

        Raises :class:`BuildFailed` if it is neither.
        """
        if tensor not in self.source.graph.producers and tensor not in self.source.graph.inputs:
            raise BuildFailed(f"{tensor!r} is no input of the model, and no node produces it", "report this model")
        self._after[tensor].extend(nodes)

    def add(self, tensor: onnx.TensorProto) -> str:
        """Adds an initializer, unless its name exists, and returns its name."""
        self._initializers.setdefault(tensor.name, tensor)
        return str(tensor.name)

    def add_array(self, name: str, value: NDArray[np.generic]) -> str:
        """Adds an array as an initializer and returns its name."""
        return self.add(numpy_helper.from_array(value, name))

    def add_weight(self, weight: IntegerWeight) -> tuple[str, str, str]:
        """Adds integers, scale and zero point; returns their names."""
        return self.add(weight.integers), self.add(weight.scale), self.add(weight.zero)

    def node(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **options: object) -> onnx.NodeProto:
        """Creates a node, without inserting it; it is named after its first output unless ``name`` is given."""
        domain = str(options.pop("domain", ""))
        name = str(options.pop("name", "")) or self.name(outputs[0], op_type)
        return helper.make_node(op_type, inputs, outputs, name=name, domain=domain, **options)

    def shared(self, tensor: str, role: str) -> tuple[str, ...] | None:
        """Returns the names that :meth:`share` registered for a tensor and role; None if there are none."""
        return self._shared.get((tensor, role))

    def share(self, tensor: str, role: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """Registers names that were derived from a tensor, for its next reader; returns them."""
        self._shared[tensor, role] = names
        return names

    def build(self) -> onnx.ModelProto:
        """Builds the edited model: nodes in order, only weights that are still used."""
        source = self.source.model
        model = onnx.ModelProto(
            ir_version=source.ir_version, producer_name=source.producer_name, producer_version=source.producer_version
        )
        model.opset_import.extend(source.opset_import)
        model.metadata_props.extend(source.metadata_props)
        graph = model.graph
        graph.name = source.graph.name
        graph.input.extend(source.graph.input)
        graph.output.extend(source.graph.output)
        nodes: list[onnx.NodeProto] = []
        for value in source.graph.input:
            nodes += self._after.get(value.name, ())
        for node in source.graph.node:
            nodes += self._before.get(node.name, ())
            nodes += self._replaced.get(node.name, (node,))
            for tensor in node.output:
                nodes += self._after.get(tensor, ())
        graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input}
        used.update(name for node in nodes for name in outer_names(node))
        used.update(value.name for value in graph.output)
        graph.initializer.extend(tensor for tensor in source.graph.initializer if tensor.name in used)
        graph.initializer.extend(tensor for tensor in self._initializers.values() if tensor.name in used)
        graph.sparse_initializer.extend(source.graph.sparse_initializer)
        outputs = {name for node in nodes for name in node.output}
        graph.value_info.extend(value for value in source.graph.value_info if value.name in outputs)
        if any(node.domain == MICROSOFT for node in nodes) and all(o.domain != MICROSOFT for o in model.opset_import):
            model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        return model
