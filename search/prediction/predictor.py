"""Predictions of a candidate's latency from the times of its layers.

Predictions only choose what to measure; they never enter a front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluators.probing.layer_table import LayerTable
from evaluators.probing.table_interpolation import TableInterpolation, scale_table
from search.job.facts import StructureTable
from search.prediction.tables import structural_names, structure_of
from search.space.candidate import Space
from search.space.layer_changes import LayerChange, cost_factors, work_left
from search.techniques.precision import PRECISION


@dataclass(frozen=True)
class LayerSum:
    """A candidate's layers, summed from a layer table."""

    time: float
    """Share of the fp32 baseline's time."""
    entering: float
    """Share of all values between layers that are quantised there."""
    leaving: float
    """Share of all values between layers that are dequantised there."""


class Predictor:
    """Predicts latency from a job's layer tables, which are measured before its first candidate.

    Equal decisions give equal predictions at any time. Safe in several threads.
    """

    def __init__(
        self,
        tables: Sequence[StructureTable],
        space: Space,
        label: str | None = None,
        changes: Sequence[LayerChange] = (),
    ) -> None:
        """``tables`` are those of :func:`search.prediction.tables.measure_layer_tables`.

        ``label`` is the device's in decisions (None: the first); ``changes`` say how decisions change layers' costs.
        """
        self._space, self._changes, self._names = space, changes, structural_names(space, label, changes)
        self._tables = [(table.values, table.table) for table in tables]

    def sum(self, decisions: Mapping[str, str]) -> LayerSum | None:
        """Sums a candidate's layers; None if it has no table, or a layer was not timed."""
        table = self._table(decisions)
        if table is None:
            return None
        estimate = table.estimate(self._space.values_by_target(PRECISION, decisions))
        if estimate is None or estimate.yardsticks <= 0:
            return None
        all_values = max(1, table.elements)
        whole = self._tables[0][1].whole
        return LayerSum(estimate.yardsticks / whole, estimate.entering / all_values, estimate.leaving / all_values)

    def _table(self, decisions: Mapping[str, str]) -> LayerTable | None:
        """Returns the table of a candidate's structure, interpolated if decisions narrow its layers, and scaled by
        tables of
        costs."""
        structure = structure_of(decisions, self._names)
        tables = [
            (table, work_left(self._changes, values))
            for values, table in self._tables
            if structure_of(values, self._names) == structure
        ]
        if not tables:
            return None
        work = work_left(self._changes, decisions)
        table = tables[0][0]
        if any(share < 1 for share in work.values()):
            if len(tables) == 1:
                return None
            table = TableInterpolation(tables).at(work)
        factors = cost_factors(self._changes, decisions)
        return scale_table(table, factors) if factors else table

    def speedup(self, decisions: Mapping[str, str]) -> float | None:
        """Returns the predicted speed-up over the fp32 baseline, uncorrected."""
        layer_sum = self.sum(decisions)
        return None if layer_sum is None else 1 / layer_sum.time

    @property
    def layers(self) -> int:
        """Number of layers in the first table; 0 without a table."""
        return len(self._tables[0][1].units) if self._tables else 0
