"""A table between tables: what the layers of a pruned model take, from models whose layers are all equally narrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evaluators.probing.layer_table import LayerTable, Tensor, Unit, UnitTime

Work = Mapping[str, float]
"""By node, the share of its multiply-accumulates that is left; nodes that nobody narrows are not named."""


@dataclass(frozen=True)
class NarrowedTables:
    """Tables of one model, each with the work that its nodes have left; the first is that of the whole model.

    A layer's time at other widths is interpolated by its multiply-accumulates, which depend on the channels that it
    reads and on those that it writes, while two layers of equal work take about as long. What stands between layers
    shrinks with their channels, the square root of their work.
    """

    tables: Sequence[tuple[LayerTable, Work]]

    def at(self, work: Work) -> LayerTable:
        """The table of the model whose nodes have this work left; nodes without any are left out."""
        first, _ = self.tables[0]
        units = tuple(self._unit(unit, _share(unit, work)) for unit in first.units)
        shares = [_share(unit, work) for unit in first.units]
        tensors = tuple(_narrow(tensor, shares) for tensor in first.tensors)
        table = replace(first, units=units, tensors=tensors)
        layers, whole = table.layers({}), first.layers({})
        if layers is None or whole is None:
            return table
        beside = first.whole - whole.yardsticks  # what is no layer
        return replace(table, whole=layers.yardsticks + beside * float(np.sqrt(np.mean(shares))))

    def _unit(self, unit: Unit, share: float) -> Unit:
        if share >= 1:
            return unit
        overhead = self.tables[0][0].overhead
        if share <= 0:
            gone = {value: replace(time, yardsticks=overhead) for value, time in unit.times.items()}
            return replace(unit, times=gone, ends=dict.fromkeys(unit.ends, 0.0))
        points = self._points[unit.group, unit.nodes]
        times = {value: self._time(value, time, points, share) for value, time in unit.times.items()}
        ends = {
            kind: _between([(at, one.ends[kind]) for at, one in points if kind in one.ends], share)
            for kind in unit.ends
        }
        return replace(unit, times=times, ends={kind: value or 0.0 for kind, value in ends.items()})

    @staticmethod
    def _time(value: str, time: UnitTime, points: Sequence[tuple[float, Unit]], share: float) -> UnitTime:
        known = [(at, found.yardsticks) for at, unit in points if (found := unit.times.get(value)) is not None]
        return replace(time, yardsticks=_between([(at, y) for at, y in known if y is not None], share))

    @cached_property
    def _points(self) -> dict[tuple[str, tuple[str, ...]], list[tuple[float, Unit]]]:
        """By unit, its work and its times in each table, least work first."""
        found: dict[tuple[str, tuple[str, ...]], list[tuple[float, Unit]]] = {}
        for table, work in self.tables:
            for unit in table.units:
                found.setdefault((unit.group, unit.nodes), []).append((_share(unit, work), unit))
        return {key: sorted(points, key=lambda point: point[0]) for key, points in found.items()}


def _share(unit: Unit, work: Work) -> float:
    return float(np.mean([work.get(node, 1.0) for node in unit.nodes]))


def _between(points: Sequence[tuple[float, float]], at: float) -> float | None:
    return float(np.interp(at, [x for x, _ in points], [y for _, y in points])) if points else None


def _narrow(tensor: Tensor, shares: Sequence[float]) -> Tensor:
    there = [shares[place] for place in tensor.writers]
    factor = float(np.sqrt(np.mean(there))) if there else 1.0
    ends = {kind: cost * factor for kind, cost in tensor.ends.items()}
    return replace(tensor, elements=round(tensor.elements * factor), ends=ends)
