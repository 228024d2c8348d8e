"""Trained number formats in a graph."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx

from evaluators.graphs.graph import Graph
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.graphs.model import opset_of, with_opset
from evaluators.graphs.number_format import number_format
from evaluators.quantize.calibration import Ranges
from evaluators.quantize.graph_edit import GraphEdit, Source, free_mark
from evaluators.quantize.quantizer import Quantizer
from evaluators.quantize.scheme import Scheme
from evaluators.quantize.simulated import PACKED_BITS, PACKED_IR, PACKED_OPSET, simulate_layer
from evaluators.quantize.static import StaticPlan
from evaluators.quantize.weights import Weights
from hwprofiles.errors import BuildFailed, InvalidInput
from hwprofiles.precision import Precision

EXECUTED = ("int8",)
"""The formats that runtimes compute in; others are simulated."""


@dataclass(frozen=True)
class LayerFormat:
    """The number format of a layer's weights and input, and the largest magnitude of its input that the trained scale
    covers.

    ``format`` is a name for :func:`evaluators.graphs.number_format.number_format`. Raises :class:`InvalidInput` for any
    other, and for a bound that is not above 0.
    """

    format: str
    bound: float

    def __post_init__(self) -> None:
        """Refuses what is no format."""
        number_format(self.format)
        if not (math.isfinite(self.bound) and self.bound > 0):
            raise InvalidInput(f"a layer's input cannot reach up to {self.bound}", "give a bound above 0")


def with_formats(
    model: onnx.ModelProto,
    groups: Sequence[LayerGroup],
    formats: Mapping[str, LayerFormat],
    ranges: Ranges,
    scheme: Scheme,
) -> onnx.ModelProto:
    """A new model whose layers compute in the formats that they were trained in; other layers are as they were.

    ``model`` is a clean model (:func:`evaluators.graphs.cleanup.clean_graph`). ``formats`` goes by the names of its
    nodes. The same arguments give the same bytes; the given model is not changed.

    Layers in int8 become static int8 of the scheme's activation type, zero in its middle, with their trained scales. Of
    several such layers that read one tensor the largest bound counts; an input beyond the negative bound may become one
    step more than in training, -128. ``ranges`` are for the other tensors that these layers need rounded
    (:func:`evaluators.quantize.activation_tensors`): sums, and what int8 convolutions give to layers of other formats.

    Layers in other formats are simulated (:mod:`evaluators.quantize.simulated`). Integers of 2 to 4 bits are stored as
    packed INT4, up to 7 bits as int8; floats as their own bits, looked up in a table of the format's values: packed
    UINT4, uint8, or uint16 beyond 8 bits. Packing raises the model's opset to 21; where an operator cannot be converted
    the opset stays and nothing is packed.

    Raises:
        BuildFailed: a name that is no layer, a group of layers with different formats of which one is int8, a layer
            that cannot have its format, or a missing range.
    """
    known = {node.name for node in model.graph.node}
    for name in formats:
        if name not in known:
            raise BuildFailed(f"the model has no layer {name!r}", "give formats for nodes of this model")
    executed = {name: value.bound for name, value in formats.items() if value.format in EXECUTED}
    simulated = {name: value for name, value in formats.items() if value.format not in EXECUTED}
    if any(number_format(value.format).bits <= PACKED_BITS for value in simulated.values()):
        model = _packable(model)
    assignment = _assignment(groups, executed)
    trained = Ranges({**ranges.values, **_training_ranges(model, executed)}, ranges.method, ranges.samples)
    # Trained scales are for 127 levels to both sides, and for channels of their own.
    scheme = replace(scheme, symmetric_activations=True, per_channel_weights=True, reduce_range=False)
    built = Quantizer(model, groups, trained, scheme).apply(assignment)
    return _simulate(built, simulated, scheme)


def _assignment(groups: Iterable[LayerGroup], executed: Mapping[str, float]) -> dict[str, Precision]:
    """Static int8 for the groups of these nodes."""
    members = {name: group for group in groups for name in group.nodes}
    found: dict[str, Precision] = {}
    for name in executed:
        if name not in members:
            raise BuildFailed(f"the layer {name!r} cannot be int8", "leave it in fp32")
        group = members[name]
        if any(other not in executed for other in group.nodes):
            raise BuildFailed(
                f"only some layers of {group.name!r} are int8", "give all layers of a group the same format"
            )
        found[group.name] = Precision.INT8
    return found


def _training_ranges(model: onnx.ModelProto, executed: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """By tensor, what the scales of its int8 readers cover. A moved tensor's range is that of where it comes from."""
    plan = StaticPlan(Graph(model.graph), frozenset(executed))
    bounds: dict[str, float] = {}
    for node in model.graph.node:
        if node.name in executed:
            tensor = plan.origin.get(node.input[0], node.input[0])
            bounds[tensor] = max(executed[node.name], bounds.get(tensor, 0.0))
    return {tensor: (-bound, bound) for tensor, bound in bounds.items()}


def _packable(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with an opset that has 4-bit tensors, where it can be converted, and no new shapes in it."""
    raised = onnx.ModelProto()
    try:
        raised.CopyFrom(model if opset_of(model) >= PACKED_OPSET else with_opset(model, PACKED_OPSET))
    except InvalidInput:
        return model
    raised.ir_version = max(raised.ir_version, PACKED_IR)
    # More of them let ONNX Runtime merge more, see :func:`evaluators.graphs.cleanup.clean_graph`.
    del raised.graph.value_info[:]
    raised.graph.value_info.extend(model.graph.value_info)
    return raised


def _simulate(model: onnx.ModelProto, formats: Mapping[str, LayerFormat], scheme: Scheme) -> onnx.ModelProto:
    if not formats:
        return model
    graph = Graph(model.graph)
    mark = free_mark(graph)
    edit = GraphEdit(Source(model, graph, Weights(graph, scheme, mark), mark))
    for node in model.graph.node:
        if node.name in formats:
            simulate_layer(edit, node, formats[node.name].format, formats[node.name].bound)
    return edit.build()
