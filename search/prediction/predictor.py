"""What a candidate's latency will be, from its layers' times.

Predictions say what is worth measuring. They never enter a front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.probing.layer_table import LayerTable
from evaluators.probing.table_interpolation import TableInterpolation
from search.prediction.tables import structure_of
from search.space.candidate import RUNTIME
from search.space.layer_widths import LayerWidth, work_left
from search.techniques.precision import PREFIX


@dataclass(frozen=True)
class Sum:
    """What the table says of a candidate: its ``time`` as a share of the fp32 baseline's, and the shares of all values
    between layers that are quantised (``entering``) and dequantised (``leaving``) there."""

    time: float
    entering: float
    leaving: float


class Predictor:
    """Predicts from a job's layer tables alone, which are made before its first candidate: the same decisions give the
    same prediction, whenever it is asked for. Safe in several threads."""

    def __init__(
        self, tables: Sequence[Mapping[str, Any]], runtime: str = RUNTIME, scales: Sequence[LayerWidth] = ()
    ) -> None:
        """``tables`` as :func:`search.prediction.tables.layer_tables` gives them; ``runtime`` is the decision that says
        what executes a candidate on the device; ``scales`` how decisions narrow its layers."""
        self._runtime, self._scales = runtime, scales
        self._tables = [(dict(one["values"]), LayerTable.from_dict(one["table"])) for one in tables]

    def sum(self, decisions: Mapping[str, str]) -> Sum | None:
        """What the layers add up to; None where there is no table for such a candidate, or a layer was not timed."""
        table = self._table(decisions)
        if table is None:
            return None
        values = {name.removeprefix(PREFIX): value for name, value in decisions.items() if name.startswith(PREFIX)}
        found = table.estimate(values)
        if found is None or found.yardsticks <= 0:
            return None
        all_values = max(1, table.elements)
        whole = self._tables[0][1].whole
        return Sum(found.yardsticks / whole, found.entering / all_values, found.leaving / all_values)

    def _table(self, decisions: Mapping[str, str]) -> LayerTable | None:
        """The table of a candidate's structure, made of several where decisions narrow its layers."""
        structure = structure_of(decisions, self._runtime)
        known = [
            (table, work_left(self._scales, values))
            for values, table in self._tables
            if structure_of(values, self._runtime) == structure
        ]
        if not known:
            return None
        work = work_left(self._scales, decisions)
        if all(share >= 1 for share in work.values()):
            return known[0][0]
        return TableInterpolation(known).at(work) if len(known) > 1 else None

    def speedup(self, decisions: Mapping[str, str]) -> float | None:
        """The predicted speed-up over the fp32 baseline, uncorrected."""
        found = self.sum(decisions)
        return None if found is None else 1 / found.time

    @property
    def layers(self) -> int:
        """Layers in the first table; 0 where there is none."""
        return len(self._tables[0][1].units) if self._tables else 0
