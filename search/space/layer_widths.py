"""Widths of layers: how pruning decisions narrow them, for modelled devices and latency prediction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from evaluators.graphs.layer_groups import LayerGroup

Reach = tuple[tuple[str, float], ...]
"""Decisions by name, each with the share of a layer's inputs or outputs that it affects."""


@dataclass(frozen=True)
class LayerWidth:
    """One layer and the decisions that narrow it. Counts are those of the unpruned layer, for one sample.

    The value of a decision is the share of channels that stays.
    """

    group: str
    """The layer group that it belongs to."""
    node: str
    """The node's name in the fp32 model."""
    macs: int
    weights: int
    read: int
    """Values that the layer reads."""
    written: int
    """Values that the layer writes."""
    inputs: Reach = ()
    """Decisions that narrow its inputs."""
    outputs: Reach = ()
    """Decisions that narrow its outputs."""
    blocks: tuple[str, ...] = ()
    """Decisions that remove the layer when their value is 0."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LayerWidth:
        """From JSON-able data, as :func:`dataclasses.asdict` gives it."""
        reach = {side: tuple((name, share) for name, share in data[side]) for side in ("inputs", "outputs")}
        return cls(**{**data, **reach, "blocks": tuple(data["blocks"])})

    def shares_left(self, decisions: Mapping[str, str]) -> tuple[float, float]:
        """The shares of its inputs and of its outputs that these decisions leave."""
        present = prod(float(decisions.get(name, 1)) for name in self.blocks)
        return present * _share_left(self.inputs, decisions), present * _share_left(self.outputs, decisions)

    @property
    def decisions(self) -> set[str]:
        """All decisions that narrow it."""
        return {name for name, _ in (*self.inputs, *self.outputs)} | set(self.blocks)


def narrow_groups(
    groups: Sequence[LayerGroup], layers: Sequence[LayerWidth], decisions: Mapping[str, str]
) -> tuple[LayerGroup, ...]:
    """Layer groups as these decisions leave them, under the same names; a removed group has no work at all."""
    by_group: defaultdict[str, list[LayerWidth]] = defaultdict(list)
    for layer in layers:
        by_group[layer.group].append(layer)
    return tuple(
        _narrow_group(group, by_group[group.name], decisions) if group.name in by_group else group for group in groups
    )


def work_left(layers: Sequence[LayerWidth], decisions: Mapping[str, str]) -> dict[str, float]:
    """By node, the share of its multiply-accumulates that these decisions leave."""
    return {layer.node: prod(layer.shares_left(decisions)) for layer in layers}


def uniform_levels(layers: Sequence[LayerWidth], choices: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Assignments that narrow all layers about equally: every width decision at its second choice, third choice, …

    A decision with fewer choices stays at its last one. ``choices`` are those of all decisions.
    """
    widths = {name for layer in layers for name, _ in (*layer.inputs, *layer.outputs)} & set(choices)
    most = max((len(choices[name]) for name in widths), default=0)
    return [
        {name: choices[name][min(place, len(choices[name]) - 1)] for name in sorted(widths)} for place in range(1, most)
    ]


def _narrow_group(group: LayerGroup, layers: Sequence[LayerWidth], decisions: Mapping[str, str]) -> LayerGroup:
    macs, weights, values = group.macs, group.weights, group.values
    for layer in layers:
        read, written = layer.shares_left(decisions)
        macs -= round(layer.macs * (1 - read * written))
        weights -= round(layer.weights * (1 - read * written))
        values -= round(layer.read * (1 - read)) + round(layer.written * (1 - written))
    return replace(group, macs=max(0, macs), weights=max(0, weights), values=max(0, values))


def _share_left(reach: Reach, decisions: Mapping[str, str]) -> float:
    return 1 - sum(share * (1 - float(decisions.get(name, 1))) for name, share in reach)
