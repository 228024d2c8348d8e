"""Times of changed models from layer tables: interpolated between equally narrow models, or scaled by costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evaluators.graphs.layer_cost import CostFactors
from evaluators.probing.layer_table import LayerTable, Tensor, Unit, UnitTime, format_of

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
        return _with_whole(replace(first, units=units, tensors=tensors), first, float(np.sqrt(np.mean(shares))))

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


def scale_table(table: LayerTable, factors: Mapping[str, CostFactors]) -> LayerTable:
    """Returns the table of a model whose layer groups cost these multiples; other groups stay as they are.

    A layer's time without conversions follows its multiply-accumulates; conversions, and nodes between layers, follow
    the values that layers read and write. Further values than before stay within their group.
    """
    by_unit = [factors.get(unit.group, CostFactors()) for unit in table.units]
    written = [min(1.0, change.written) * change.tokens for change in by_unit]
    units = tuple(_scale(unit, change, table.overhead) for unit, change in zip(table.units, by_unit, strict=True))
    tensors = tuple(
        _shrink(tensor, float(np.mean([written[index] for index in tensor.writers]))) if tensor.writers else tensor
        for tensor in table.tensors
    )
    return _with_whole(replace(table, units=units, tensors=tensors), table, float(np.mean(written)) if written else 1.0)


def _scale(unit: Unit, factors: CostFactors, overhead: float) -> Unit:
    values = min(1.0, (factors.read + factors.written) / 2) * factors.tokens
    ends = {kind: cost * values for kind, cost in unit.ends.items()}

    def scale(time: UnitTime) -> UnitTime:
        if time.yardsticks is None:
            return time
        kind = format_of(time.precision)
        work = (time.yardsticks - overhead - unit.ends[kind]) * factors.work
        return replace(time, yardsticks=overhead + ends[kind] + work)

    return replace(unit, times={value: scale(time) for value, time in unit.times.items()}, ends=ends)


def _with_whole(table: LayerTable, first: LayerTable, share: float) -> LayerTable:
    """Returns a changed table with the time of its whole model: nodes that are no layers take ``share`` of the
    ``first``'s."""
    layers, whole = table.layers({}), first.layers({})
    if layers is None or whole is None:
        return table
    between = first.whole - whole.yardsticks
    return replace(table, whole=layers.yardsticks + between * share)


def _share(unit: Unit, work: Work) -> float:
    return float(np.mean([work.get(node, 1.0) for node in unit.nodes]))


def _interpolate(points: Sequence[tuple[float, float]], at: float) -> float | None:
    return float(np.interp(at, [x for x, _ in points], [y for _, y in points])) if points else None


def _narrow(tensor: Tensor, shares: Sequence[float]) -> Tensor:
    work = [shares[index] for index in tensor.writers]
    return _shrink(tensor, float(np.sqrt(np.mean(work))) if work else 1.0)


def _shrink(tensor: Tensor, factor: float) -> Tensor:
    ends = {kind: cost * factor for kind, cost in tensor.ends.items()}
    return replace(tensor, elements=round(tensor.elements * factor), ends=ends)
