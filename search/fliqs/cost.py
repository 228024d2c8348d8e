"""Costs of an assignment of number formats to layer groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from evaluators.graphs.bit_operations import FLOAT_BITS, bit_operations, bits_of
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.probing.layer_table import LayerTable
from hwprofiles import Precision
from hwprofiles.errors import BuildFailed

FLOAT = Precision.FP32.value


class Cost(Protocol):
    """Cost of formats by group and, for an elastic network, of values by decision.

    Groups that are left out are fp32, decisions that are left out take their largest value.
    """

    def of(self, formats: Mapping[str, str]) -> float:
        """Computes the cost, above 0; raises :class:`BuildFailed` if it is unknown."""


@dataclass(frozen=True)
class AdditiveCost:
    """A cost that is a sum over groups."""

    groups: Mapping[str, Mapping[str, float]]
    """By group, the cost of each format including fp32."""
    fixed: float = 0.0
    """Cost independent of formats."""

    def of(self, formats: Mapping[str, str]) -> float:
        """See :meth:`Cost.of`."""
        return self.fixed + sum(costs[formats.get(group, FLOAT)] for group, costs in self.groups.items())


@dataclass(frozen=True)
class LatencyCost:
    """Time of the model from a device's layer table, in yardsticks, including conversions between layers of different
    formats."""

    table: LayerTable

    def of(self, formats: Mapping[str, str]) -> float:
        """See :meth:`Cost.of`."""
        estimate = self.table.estimate(formats)
        if estimate is None:
            raise BuildFailed("the device could not time every layer in these formats", "choose another cost")
        return estimate.yardsticks


def reduction(cost: Cost, formats: Mapping[str, str]) -> float:
    """Computes how many times cheaper the formats are than fp32 everywhere."""
    return cost.of({}) / cost.of(formats)


def bit_operations_cost(groups: Sequence[LayerGroup], formats: Iterable[str]) -> AdditiveCost:
    """Makes a cost of :func:`evaluators.graphs.bit_operations.bit_operations`."""
    names = (FLOAT, *formats)
    return AdditiveCost(
        {group.name: {name: float(bit_operations([group], {group.name: name})) for name in names} for group in groups}
    )


def size_cost(groups: Sequence[LayerGroup], formats: Iterable[str], weights: int) -> AdditiveCost:
    """Makes a cost of the bytes of all weights, those of the groups packed; ``weights`` is the model's total number."""
    names = (FLOAT, *formats)
    float_weights = max(0, weights - sum(group.weights for group in groups))
    costs = {group.name: {name: group.weights * bits_of(name)[0] / 8 for name in names} for group in groups}
    return AdditiveCost(costs, fixed=float_weights * FLOAT_BITS / 8)
