"""Builds models with the precisions of candidates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

from evaluators.graphs.file import size_of
from evaluators.graphs.graph import Graph
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.quantize.calibration import Ranges
from evaluators.quantize.dynamic import make_dynamic
from evaluators.quantize.graph_edit import GraphEdit, Source, free_mark
from evaluators.quantize.scheme import Scheme
from evaluators.quantize.static import make_static, tensors_to_calibrate
from evaluators.quantize.weight_only import make_weight_only
from evaluators.quantize.weights import Weights
from hwprofiles.errors import BuildFailed
from hwprofiles.precision import Precision

_WEIGHT_ONLY = (Precision.INT8_WEIGHT, Precision.INT4_WEIGHT)


class Quantizer:
    """Builds candidates of one model, sharing the integer forms of its weights between them.

    ``model`` is a clean model (:func:`evaluators.graphs.cleanup.clean_graph`); it is not changed, and its owner must
    not change it later. ``ranges`` may be None if no layer will be static int8. Not safe in several threads.
    """

    def __init__(
        self, model: onnx.ModelProto, groups: Iterable[LayerGroup], ranges: Ranges | None, scheme: Scheme | None = None
    ) -> None:
        self._groups = {group.name: group for group in groups}
        self._ranges = ranges
        self._scheme = scheme or Scheme()
        graph = Graph(model.graph)
        mark = free_mark(graph)
        self._source = Source(model, graph, Weights(graph, self._scheme, mark), mark)

    @property
    def size_bytes(self) -> int:
        """Approximate size in memory after building: the model, and at most as much again in integers."""
        return 2 * size_of(self._source.model)

    def apply(self, assignment: Mapping[str, Precision]) -> onnx.ModelProto:
        """Builds a new model from precisions by group name; other layers are unchanged.

        The same assignment gives the same bytes, whatever was built before.

        Raises:
            BuildFailed: a group is unknown or does not allow its precision, or a range is missing.
        """
        precisions = self._by_node(assignment)
        edit = GraphEdit(self._source)
        static = frozenset(name for name, precision in precisions.items() if precision is Precision.INT8)
        for node in self._source.graph.proto.node:
            precision = precisions.get(node.name, Precision.FP32)
            if precision is Precision.INT8_DYNAMIC:
                make_dynamic(edit, node)
            elif precision in _WEIGHT_ONLY:
                scheme = self._scheme
                make_weight_only(
                    edit, node, precision, block_size=scheme.block_size, integer_compute=scheme.integer_compute
                )
        if static:
            make_static(edit, static, self._ranges, self._scheme)
        return edit.build()

    def _by_node(self, assignment: Mapping[str, Precision]) -> dict[str, Precision]:
        precisions: dict[str, Precision] = {}
        for name, value in assignment.items():
            if name not in self._groups:
                raise BuildFailed(f"the model has no layer {name!r}", f"its layers are {', '.join(self._groups)}")
            group = self._groups[name]
            if value not in group.precisions:
                raise BuildFailed(f"the layer {name!r} cannot be {value}", f"it can be {', '.join(group.precisions)}")
            precisions.update(dict.fromkeys(group.nodes, Precision(value)))
        return precisions


def activation_tensors(model: onnx.ModelProto, groups: Iterable[LayerGroup]) -> tuple[str, ...]:
    """Lists the tensors to calibrate so that any assignment of these groups can be built."""
    graph = Graph(model.graph)
    names = {name for group in groups if Precision.INT8 in group.precisions for name in group.nodes}
    return tensors_to_calibrate(graph, {node.name: node for node in model.graph.node if node.name in names})
