"""Interpolates layer tables: times of a pruned model, from models whose layers are all equally narrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evaluators.probing.layer_table import LayerTable, Tensor, Unit, UnitTime

Work = Mapping[str, float]
"""By node, the share of its multiply-accumulates that is left; unchanged nodes are absent."""


@dataclass(frozen=True)
class TableInterpolation:
    """Interpolates between tables of one model at several widths.

    A layer's time is interpolated by its multiply-accumulates: they depend on the channels that it reads and writes,
    and two layers of equal work take about equally long. Nodes between layers shrink with the channels, that is the
    square root of the work.
    """

    tables: Sequence[tuple[LayerTable, Work]]
    """Tables, each with the work that is left; the first is that of the whole model."""

    def at(self, work: Work) -> LayerTable:
        """Returns the table of the model with this work left; layers without work take no time."""
        first, _ = self.tables[0]
        units = tuple(self._unit(unit, _share(unit, work)) for unit in first.units)
        shares = [_share(unit, work) for unit in first.units]
        tensors = tuple(_narrow(tensor, shares) for tensor in first.tensors)
        table = replace(first, units=units, tensors=tensors)
        layers, whole = table.layers({}), first.layers({})
        if layers is None or whole is None:
            return table
        between = first.whole - whole.yardsticks  # nodes that are no layers
        return replace(table, whole=layers.yardsticks + between * float(np.sqrt(np.mean(shares))))

    def _unit(self, unit: Unit, share: float) -> Unit:
        if share >= 1:
            return unit
        overhead = self.tables[0][0].overhead
        if share <= 0:
            times = {value: replace(time, yardsticks=overhead) for value, time in unit.times.items()}
            return replace(unit, times=times, ends=dict.fromkeys(unit.ends, 0.0))
        points = self._points[unit.group, unit.nodes]
        times = {value: self._time(value, time, points, share) for value, time in unit.times.items()}
        ends = {
            kind: _interpolate([(at, point.ends[kind]) for at, point in points if kind in point.ends], share)
            for kind in unit.ends
        }
        return replace(unit, times=times, ends={kind: value or 0.0 for kind, value in ends.items()})

    @staticmethod
    def _time(value: str, time: UnitTime, points: Sequence[tuple[float, Unit]], share: float) -> UnitTime:
        times = [(at, point.yardsticks) for at, unit in points if (point := unit.times.get(value)) is not None]
        return replace(time, yardsticks=_interpolate([(at, y) for at, y in times if y is not None], share))

    @cached_property
    def _points(self) -> dict[tuple[str, tuple[str, ...]], list[tuple[float, Unit]]]:
        """By group and nodes of a unit, its work and its times in each table, least work first."""
        points_by_unit: dict[tuple[str, tuple[str, ...]], list[tuple[float, Unit]]] = {}
        for table, work in self.tables:
            for unit in table.units:
                points_by_unit.setdefault((unit.group, unit.nodes), []).append((_share(unit, work), unit))
        return {key: sorted(points, key=lambda point: point[0]) for key, points in points_by_unit.items()}


def _share(unit: Unit, work: Work) -> float:
    return float(np.mean([work.get(node, 1.0) for node in unit.nodes]))


def _interpolate(points: Sequence[tuple[float, float]], at: float) -> float | None:
    return float(np.interp(at, [x for x, _ in points], [y for _, y in points])) if points else None


def _narrow(tensor: Tensor, shares: Sequence[float]) -> Tensor:
    work = [shares[index] for index in tensor.writers]
    factor = float(np.sqrt(np.mean(work))) if work else 1.0
    ends = {kind: cost * factor for kind, cost in tensor.ends.items()}
    return replace(tensor, elements=round(tensor.elements * factor), ends=ends)
