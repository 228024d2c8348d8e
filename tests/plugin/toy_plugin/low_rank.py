"""A technique on the module that saves cost otherwise than by narrowing layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from evaluators.devices.device import Device
from evaluators.graphs.layer_cost import CostFactors
from search.space.candidate import Decision
from search.space.layer_changes import CostTable
from search.techniques import ModuleTechnique, Offer

RANKS = (8, 4)


class LowRank(ModuleTechnique):
    """Replaces linear layers by two of a low rank, where that saves work."""

    unchanged = "full"

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        choices = ("full", *map(str, RANKS))
        return Offer(
            tuple(
                Decision(f"low_rank:{name}", choices, "low_rank", target=name, scope="module")
                for name in self._layers()
            )
        )

    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        for name in self._layers():
            value = values.get(f"low_rank:{name}", self.unchanged)
            if value != self.unchanged:
                module.set_submodule(name, split(module.get_submodule(name), int(value)))
        return module

    def layer_changes(self) -> Sequence[CostTable]:
        return [
            CostTable(f"low_rank:{name}", {str(rank): {name: factors(layer, rank)} for rank in RANKS})
            for name, layer in self._layers().items()
        ]

    @classmethod
    def describe_value(cls, decision: Decision, value: str) -> str:
        return f"of rank {value}"

    def _layers(self) -> dict[str, nn.Linear]:
        """By name, the layers of which the first rank leaves less work."""
        groups = {group.name for group in self.subject.groups}
        linear = {name: part for name, part in self.module().named_modules() if isinstance(part, nn.Linear)}
        return {name: part for name, part in linear.items() if name in groups and factors(part, RANKS[0]).macs < 1}


def factors(layer: nn.Linear, rank: int) -> CostFactors:
    """What a rank leaves of a layer's costs."""
    inputs, outputs = layer.in_features, layer.out_features
    left = rank * (inputs + outputs) / (inputs * outputs)
    return CostFactors(macs=left, weights=left, read=(inputs + rank) / inputs, written=(outputs + rank) / outputs)


def split(layer: nn.Module, rank: int) -> nn.Sequential:
    """The two layers that are nearest to one."""
    assert isinstance(layer, nn.Linear)
    first, second = nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features)
    with torch.no_grad():
        left, sizes, right = torch.linalg.svd(layer.weight, full_matrices=False)
        first.weight.copy_(right[:rank])
        second.weight.copy_(left[:, :rank] * sizes[:rank])
        second.bias.copy_(layer.bias)
    return nn.Sequential(first, second)
