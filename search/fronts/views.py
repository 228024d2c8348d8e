"""Views of a job's candidates: by the figures of one device, or of all devices together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.fronts.feasibility import judge
from search.fronts.metrics import DEVICES, failures_of, figures_on
from search.fronts.objectives import Constraint, Objective
from search.states import TrialState
from search.store import TrialRow


@dataclass(frozen=True)
class View:
    """The objectives and constraints of one device, or of all devices of a job together."""

    label: str | None
    """The device, whose figures have their plain names; None for all devices, or the only one."""
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    def metrics(self, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the figures of a candidate, or of the baseline, in this view."""
        return metrics if self.label is None or DEVICES not in metrics else figures_on(metrics, self.label)

    def row(self, row: TrialRow, baseline: Mapping[str, Any]) -> TrialRow:
        """Returns a candidate with its figures and its state in this view; ``baseline`` is that of the job."""
        if self.label is None or not row.state.measured:
            return row
        failure = failures_of(row.metrics).get(self.label)
        if failure is not None:
            return replace(row, state=TrialState(failure["state"]), reason=failure["reason"], metrics={})
        metrics = dict(self.metrics(row.metrics))
        state, reason = judge(self.objectives, self.constraints, metrics, self.metrics(baseline))
        return replace(row, state=state, reason=reason, metrics=metrics)

    def rows(self, rows: Sequence[TrialRow], baseline: Mapping[str, Any]) -> list[TrialRow]:
        """:meth:`row` of each."""
        return [self.row(row, baseline) for row in rows]
