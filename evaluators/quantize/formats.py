"""Writes trained number formats into a graph."""

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
"""Formats that runtimes execute; others are simulated."""


@dataclass(frozen=True)
class LayerFormat:
    """The number format of a layer's weights and input.

    Raises:
        InvalidInput: the format is unknown, or the bound is not above 0.
    """

    format: str
    """A name for :func:`evaluators.graphs.number_format.number_format`."""
    bound: float
    """Largest magnitude of the input that the trained scale covers."""

    def __post_init__(self) -> None:
        """Checks both fields."""
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
    """Builds a model whose layers compute in the formats that they were trained in; other layers are unchanged.

    ``model`` is a clean model (:func:`evaluators.graphs.cleanup.clean_graph`). Its batch normalisation is folded, which
    scales whole channels; weights are scaled per output channel, so their rounding does not change. ``formats`` are by
    node name. The same arguments give the same bytes; the given model is not changed.

    Layers in int8 become static int8 of the scheme's activation type with symmetric ranges and their trained scales. If
    several of them read one tensor, the largest bound counts; an input below the negative bound may be rounded to -128,
    one step more than in training. ``ranges`` are for the other tensors that these layers need quantised
    (:func:`evaluators.quantize.activation_tensors`): sums, and int8 convolutions' outputs for layers of other formats.

    Layers in other formats are simulated (:mod:`evaluators.quantize.simulated`). Integers of 2 to 4 bits are stored as
    packed INT4, up to 7 bits as int8. Floats are stored as codes that index a table of the format's values: packed
    UINT4, uint8, or uint16 beyond 8 bits. Packing raises the model's opset to 21; if an operator cannot be converted,
    the opset stays and nothing is packed.

    Raises:
        BuildFailed: a name is no layer of the model, a group mixes int8 with other formats, a layer cannot have its
            format, or a range is missing.
    """
    names = {node.name for node in model.graph.node}
    for name in formats:
        if name not in names:
            raise BuildFailed(f"the model has no layer {name!r}", "give formats for nodes of this model")
    executed = {name: value.bound for name, value in formats.items() if value.format in EXECUTED}
    simulated = {name: value for name, value in formats.items() if value.format not in EXECUTED}
    if any(number_format(value.format).bits <= PACKED_BITS for value in simulated.values()):
        model = _packable(model)
    assignment = _assignment(groups, executed)
    all_ranges = Ranges({**ranges.values, **_training_ranges(model, executed)}, ranges.method, ranges.samples)
    # Trained scales are for 127 levels to both sides, and per channel.
    scheme = replace(scheme, symmetric_activations=True, per_channel_weights=True, reduce_range=False)
    quantised = Quantizer(model, groups, all_ranges, scheme).apply(assignment)
    return _simulate(quantised, simulated, scheme)


def _assignment(groups: Iterable[LayerGroup], executed: Mapping[str, float]) -> dict[str, Precision]:
    """Assigns static int8 to the groups of these nodes."""
    members = {name: group for group in groups for name in group.nodes}
    assignment: dict[str, Precision] = {}
    for name in executed:
        if name not in members:
            raise BuildFailed(f"the layer {name!r} cannot be int8", "leave it in fp32")
        group = members[name]
        if any(member not in executed for member in group.nodes):
            raise BuildFailed(
                f"only some layers of {group.name!r} are int8", "give all layers of a group the same format"
            )
        assignment[group.name] = Precision.INT8
    return assignment


def _training_ranges(model: onnx.ModelProto, executed: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Returns, by tensor, the range that its int8 readers' scales cover; moved tensors have their source's range."""
    plan = StaticPlan(Graph(model.graph), frozenset(executed))
    bounds: dict[str, float] = {}
    for node in model.graph.node:
        if node.name in executed:
            tensor = plan.origin.get(node.input[0], node.input[0])
            bounds[tensor] = max(executed[node.name], bounds.get(tensor, 0.0))
    return {tensor: (-bound, bound) for tensor, bound in bounds.items()}


def _packable(model: onnx.ModelProto) -> onnx.ModelProto:
    """Converts a model to an opset with 4-bit tensors if possible, without adding shapes."""
    raised = onnx.ModelProto()
    try:
        raised.CopyFrom(model if opset_of(model) >= PACKED_OPSET else with_opset(model, PACKED_OPSET))
    except InvalidInput:
        return model
    raised.ir_version = max(raised.ir_version, PACKED_IR)
    # More shapes would let ONNX Runtime merge more nodes, see :func:`evaluators.graphs.cleanup.clean_graph`.
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
