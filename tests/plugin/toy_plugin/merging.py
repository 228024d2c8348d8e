"""A technique on the module that notes something to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from evaluators.devices.device import Device
from evaluators.graphs.layer_cost import CostFactors
from search.space.candidate import Decision
from search.space.display import Fields, Item
from search.space.layer_changes import CostTable
from search.techniques import ModuleTechnique, Offer

PLACE = "merge"


class Pairs(nn.Module):
    """Merges each two neighbouring tokens into their mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, ::2] + x[:, 1::2]) / 2


class TokenMerging(ModuleTechnique):
    """Merges tokens behind the first layer, where the net has a place for it."""

    unchanged = "all"

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        has_place = PLACE in dict(self.module().named_modules())
        return Offer((Decision("merging", ("all", "half"), "merging"),)) if has_place else Offer()

    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        if values["merging"] == "half":
            module.set_submodule(PLACE, Pairs())
        return module

    def finish(self, module: nn.Module, values: Mapping[str, str]) -> dict[str, Any]:
        return {"place": PLACE, "share": 0.5} if values["merging"] == "half" else {}

    def describe(self, notes: Mapping[str, Any]) -> list[Item]:
        return [Fields("Merged tokens", {notes["place"]: f"{notes['share']:.0%} left"}, "Neighbours are averaged.")]

    def layer_changes(self) -> Sequence[CostTable]:
        behind = [group.name for group in self.subject.groups][1:]
        return [CostTable("merging", {"half": dict.fromkeys(behind, CostFactors(tokens=0.5))})]
