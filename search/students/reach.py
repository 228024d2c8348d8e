"""Effect of a student's decisions on the inputs and outputs of each layer of the exported file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx
from torch import nn

from evaluators.graphs.layer_groups import LayerGroup
from evaluators.graphs.shapes import Shape
from search.pruning import Group
from search.pruning.attention import with_plain_attention
from search.pruning.names import layers_by_scope
from search.pruning.reach import layer_widths
from search.pruning.tensors import CONVOLUTIONS
from search.space.layer_changes import LayerWidth, Source
from search.students.plain_layers import PlainLayer


def student_widths(
    model: onnx.ModelProto,
    layers: Sequence[LayerGroup],
    teacher: nn.Module,
    groups: Mapping[str, Group],
    plain_layers: Mapping[str, PlainLayer],
    shapes: Mapping[str, Shape],
) -> list[LayerWidth]:
    """Lists the layers that a student may lack or narrow, with the decisions that do it.

    As :func:`search.pruning.reach.layer_widths`; ``plain_layers`` are by decision too, in the order of their calls.
    """
    plain = with_plain_attention(teacher)
    paths = layers_by_scope(plain, (nn.Linear, *CONVOLUTIONS))
    widths = {layer.node: layer for layer in layer_widths(model, layers, teacher, groups, shapes)}
    nodes = {paths[node.rpartition("/")[0]]: node for node in widths if node.rpartition("/")[0] in paths}
    for decision, removal in plain_layers.items():
        if removal.layer not in nodes:
            continue
        own = widths[nodes[removal.layer]]
        widths[own.node] = replace(own, blocks=(*own.blocks, decision))
        outputs, inputs = plain.get_parameter(f"{removal.layer}.weight").shape[:2]
        sources = [Source(decision, 1.0, own.inputs), *own.sources]
        for reader in removal.readers:
            if reader in nodes:
                scaled = (replace(source, inputs=source.inputs * inputs / outputs) for source in sources)
                widths[nodes[reader]] = replace(widths[nodes[reader]], sources=tuple(scaled))
    return list(widths.values())
