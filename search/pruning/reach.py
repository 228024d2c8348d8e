"""Effect of pruning decisions on the inputs and outputs of each layer of the exported file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import prod

import onnx
from torch import nn

from evaluators.graphs.graph import Graph
from evaluators.graphs.layer_groups import LayerGroup, node_macs, node_reads_and_writes, weight_names
from evaluators.graphs.shapes import Shape
from search.pruning.attention import with_plain_attention
from search.pruning.groups import BlockGroup, Group
from search.pruning.names import layers_by_scope
from search.pruning.tensors import LAYERS, TRANSPOSED
from search.space.layer_changes import LayerWidth, Reach


def layer_widths(
    model: onnx.ModelProto,
    layers: Sequence[LayerGroup],
    module: nn.Module,
    groups: Mapping[str, Group],
    shapes: Mapping[str, Shape],
) -> list[LayerWidth]:
    """Lists the layers that pruning can narrow, with the decisions that narrow them.

    ``model`` was exported from ``module``; ``groups`` are by decision; ``shapes`` are the model's tensor shapes for one
    sample. Misses layers whose node is not named after the module, such as those in
    :class:`torch.nn.MultiheadAttention`.
    """
    plain = with_plain_attention(module)
    parts = layers_by_scope(plain, LAYERS)
    graph = Graph(model.graph)
    nodes = {node.name: node for node in model.graph.node}
    shares = _shares_by_layer(plain, groups)
    blocks = {name: group.module for name, group in groups.items() if isinstance(group, BlockGroup)}
    widths = []
    for layer in layers:
        for node in (nodes[name] for name in layer.nodes):
            part = parts.get(node.name.rpartition("/")[0])
            if part is None:
                continue
            inputs, outputs = shares.get(part, ((), ()))
            inside = tuple(name for name, path in blocks.items() if part.startswith(f"{path}."))
            if inputs or outputs or inside:
                read, written = node_reads_and_writes(node, shapes)
                weights = sum(prod(graph.initializers[name].dims) for name in weight_names(node))
                widths.append(
                    LayerWidth(
                        layer.name, node.name, node_macs(node, shapes), weights, read, written, inputs, outputs, inside
                    )
                )
    return widths


def _shares_by_layer(module: nn.Module, groups: Mapping[str, Group]) -> dict[str, tuple[Reach, Reach]]:
    """Computes by layer the share of its inputs and of its outputs that each decision covers."""
    sides: defaultdict[str, dict[bool, dict[str, float]]] = defaultdict(lambda: {False: {}, True: {}})
    for name, group in groups.items():
        for part in () if isinstance(group, BlockGroup) else group.slices:
            path, _, attribute = part.tensor.rpartition(".")
            layer = module.get_submodule(path)
            if attribute != "weight" or not isinstance(layer, LAYERS):
                continue
            output_axis = 1 if isinstance(layer, TRANSPOSED) else 0
            share = sum(map(len, part.indices)) / layer.weight.shape[part.axis]
            sides[path][part.axis == output_axis][name] = share
    return {path: (tuple(side[False].items()), tuple(side[True].items())) for path, side in sides.items()}
