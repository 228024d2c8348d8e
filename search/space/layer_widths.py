"""How pruning decisions narrow a model's layers: what modelled devices and predictions need to know of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from evaluators.graphs.layer_groups import LayerGroup

Reach = tuple[tuple[str, float], ...]
"""Decisions, each with the share of a layer's inputs or outputs that it decides about."""


@dataclass(frozen=True)
class LayerScale:
    """One layer of a group, a ``node`` of the fp32 model, and the decisions that narrow it.

    ``macs``, ``weights``, values ``read`` and ``written`` are those of the whole layer, for one sample. The value of a
    decision is the share that stays; ``blocks`` are decisions that leave the layer out where it is 0.
    """

    group: str
    node: str
    macs: int
    weights: int
    read: int
    written: int
    inputs: Reach = ()
    outputs: Reach = ()
    blocks: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LayerScale:
        """From JSON-able data, as :func:`dataclasses.asdict` gives it."""
        reach = {side: tuple((name, share) for name, share in data[side]) for side in ("inputs", "outputs")}
        return cls(**{**data, **reach, "blocks": tuple(data["blocks"])})

    def left(self, decisions: Mapping[str, str]) -> tuple[float, float]:
        """The shares of its inputs and of its outputs that are left."""
        there = prod(float(decisions.get(name, 1)) for name in self.blocks)
        return there * _left(self.inputs, decisions), there * _left(self.outputs, decisions)

    @property
    def decisions(self) -> set[str]:
        """All decisions that narrow it."""
        return {name for name, _ in (*self.inputs, *self.outputs)} | set(self.blocks)


def scales_of(facts: Mapping[str, Any]) -> list[LayerScale]:
    """How decisions narrow layers, as a job's facts hold it."""
    return [LayerScale.from_dict(one) for one in facts.get("scales", ())]


def narrowed(
    groups: Sequence[LayerGroup], scales: Sequence[LayerScale], decisions: Mapping[str, str]
) -> tuple[LayerGroup, ...]:
    """The layer groups as these decisions leave them, under their names; one that is left out has no work at all."""
    layers: defaultdict[str, list[LayerScale]] = defaultdict(list)
    for scale in scales:
        layers[scale.group].append(scale)
    return tuple(_narrowed(group, layers[group.name], decisions) if group.name in layers else group for group in groups)


def work_left(scales: Sequence[LayerScale], decisions: Mapping[str, str]) -> dict[str, float]:
    """By node, the share of its multiply-accumulates that these decisions leave."""
    return {scale.node: prod(scale.left(decisions)) for scale in scales}


def levels(scales: Sequence[LayerScale], choices: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Values for the decisions about widths that make all layers about equally narrow: their second choices, their
    third ones, and so on, the last one where there are fewer. ``choices`` are those of all decisions."""
    widths = {name for scale in scales for name, _ in (*scale.inputs, *scale.outputs)} & set(choices)
    most = max((len(choices[name]) for name in widths), default=0)
    return [
        {name: choices[name][min(place, len(choices[name]) - 1)] for name in sorted(widths)} for place in range(1, most)
    ]


def _narrowed(group: LayerGroup, layers: Sequence[LayerScale], decisions: Mapping[str, str]) -> LayerGroup:
    macs, weights, values = group.macs, group.weights, group.values
    for layer in layers:
        read, written = layer.left(decisions)
        macs -= round(layer.macs * (1 - read * written))
        weights -= round(layer.weights * (1 - read * written))
        values -= round(layer.read * (1 - read)) + round(layer.written * (1 - written))
    return replace(group, macs=max(0, macs), weights=max(0, weights), values=max(0, values))


def _left(reach: Reach, decisions: Mapping[str, str]) -> float:
    return 1 - sum(share * (1 - float(decisions.get(name, 1))) for name, share in reach)
