"""A candidate as devices that measure nothing see it: its layers, their precisions and their costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from evaluators.graphs.layer_cost import LayerCost
from evaluators.graphs.layer_groups import LayerGroup
from hwprofiles import Precision


@dataclass(frozen=True)
class ModelledCandidate:
    """The layers of a candidate, and what its decisions do to them."""

    groups: Sequence[LayerGroup]
    """The layer groups of the fp32 model."""
    digest: str = ""
    precisions: Mapping[str, str] = field(default_factory=dict)
    """Precision by layer group; groups that are left out are fp32."""
    costs: Mapping[str, LayerCost] = field(default_factory=dict)
    """Cost by layer group; groups that are left out cost what they do in the fp32 model."""
    shares_left: Mapping[str, float] = field(default_factory=dict)
    """By name of each decision that changes costs, the share that it leaves."""
    other_values: Mapping[str, str] = field(default_factory=dict)
    """Values of decisions that set neither precisions nor costs, by name."""

    def precision(self, group: LayerGroup) -> Precision:
        """Returns the precision of a layer group."""
        return Precision(self.precisions.get(group.name, Precision.FP32))

    def cost(self, group: LayerGroup) -> LayerCost:
        """Returns the cost of a layer group, as the decisions leave it."""
        return self.costs.get(group.name) or LayerCost.of_group(group)

    @property
    def changed_groups(self) -> list[LayerGroup]:
        """The layer groups with the multiply-accumulates that the decisions leave."""
        return [replace(group, macs=self.cost(group).macs) for group in self.groups]
