"""What an assignment of number formats to groups of layers costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from evaluators.graphs.bit_operations import FLOAT_BITS, bits_of
from evaluators.graphs.bit_operations import bit_operations as counted
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.probing.layer_table import LayerTable
from hwprofiles import Precision
from hwprofiles.errors import BuildFailed

FLOAT = Precision.FP32.value


class Cost(Protocol):
    """What formats cost, by the names of their groups; groups that are left out stay fp32. Of an elastic network also
    what its choices cost, by the names of their decisions; those that are left out are the largest."""

    def of(self, formats: Mapping[str, str]) -> float:
        """Above 0; raises :class:`BuildFailed` where it is not known."""


@dataclass(frozen=True)
class Sum:
    """A cost that adds up over groups: for each one what each format costs, fp32 among them, and ``fixed`` for all that
    no format changes."""

    groups: Mapping[str, Mapping[str, float]]
    fixed: float = 0.0

    def of(self, formats: Mapping[str, str]) -> float:
        """See :meth:`Cost.of`."""
        return self.fixed + sum(costs[formats.get(group, FLOAT)] for group, costs in self.groups.items())


@dataclass(frozen=True)
class Latency:
    """The time of the model by a device's table of its layers, in yardsticks; between layers of different formats
    conversions are paid for."""

    table: LayerTable

    def of(self, formats: Mapping[str, str]) -> float:
        """See :meth:`Cost.of`."""
        found = self.table.estimate(formats)
        if found is None:
            raise BuildFailed("the device could not time every layer in these formats", "take another cost")
        return found.yardsticks


def reduction(cost: Cost, formats: Mapping[str, str]) -> float:
    """How many times cheaper than fp32 everywhere."""
    return cost.of({}) / cost.of(formats)


def bit_operations(groups: Sequence[LayerGroup], formats: Iterable[str]) -> Sum:
    """See :func:`evaluators.graphs.bit_operations.bit_operations`."""
    names = (FLOAT, *formats)
    return Sum({group.name: {name: float(counted([group], {group.name: name})) for name in names} for group in groups})


def stored_bytes(groups: Sequence[LayerGroup], formats: Iterable[str], weights: int) -> Sum:
    """Bytes of all weights, those of the layers packed; ``weights`` is the number of all that the model has."""
    names = (FLOAT, *formats)
    others = max(0, weights - sum(group.weights for group in groups))
    costs = {group.name: {name: group.weights * bits_of(name)[0] / 8 for name in names} for group in groups}
    return Sum(costs, fixed=others * FLOAT_BITS / 8)
