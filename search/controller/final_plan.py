"""Plans the final measurements of a front, and computes the front from them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.fronts.feasibility import judge
from search.fronts.joint import Fronts, fronts_of
from search.fronts.metrics import SIMULATED_FORMATS, device_figures, replace_device
from search.fronts.pooling import pool_figures
from search.fronts.views import View
from search.states import TrialState
from search.store import TrialRow

FINAL_ROUNDS = 2
"""Rounds in which contenders are measured again together with the members."""

AGAIN, FINAL = "again", "final"
"""Phases in the store of the two later measurements of a candidate: one to choose by, one to report."""

NO_TIME = "no time was left to measure it again"

Place = tuple[str, str]
"""A candidate and the label of a device."""


class FinalPlan:
    """Which members and contenders to measure next, and the fronts by the figures so far. Measures and stores nothing.

    Members and contenders are measured :data:`AGAIN`; these figures, pooled with the search's, decide who is a member.
    Members are then measured once more, and this :data:`FINAL` figure alone is reported: it had no part in the choice,
    so it is unbiased.

    ``labels`` are those of the job's devices, ``views`` the job's, the joint one last. Candidates whose digests are in
    ``confirmed`` need no further measurement: their figures had no part in a choice.
    """

    def __init__(
        self,
        rows: Iterable[TrialRow],
        views: Sequence[View],
        baseline: Mapping[str, Any],
        labels: Sequence[str],
        confirmed: Collection[str] = (),
    ) -> None:
        self._confirmed = confirmed
        self._rows = {row.candidate_id: row for row in rows}
        self._views, self._baseline, self._labels = views, baseline, labels
        self._pooled: dict[Place, Mapping[str, Any]] = {}
        self._final: set[Place] = set()
        self.given_up: dict[Place, str] = {}
        """Measurements that failed for a transient reason, with the reason."""

    @property
    def rows(self) -> list[TrialRow]:
        """All candidates by number, with the figures to report now."""
        return sorted(self._rows.values(), key=lambda row: row.number)

    @property
    def is_begun(self) -> bool:
        """Whether something was measured again."""
        return bool(self._pooled or self._final)

    def row(self, candidate_id: str) -> TrialRow:
        """Returns a candidate with the figures to report now."""
        return self._rows[candidate_id]

    def recall(self, place: Place, phase: str, pooled: Mapping[str, Any] | None) -> None:
        """Takes over a stored measurement of an earlier run of the job, whose figures are in the row already."""
        if phase == FINAL:
            self._final.add(place)
        elif phase == AGAIN:
            self._pooled[place] = pooled or {}

    def put(self, row: TrialRow) -> None:
        """Replaces a candidate's row."""
        self._rows[row.candidate_id] = row

    def pool(self, place: Place, figures: Mapping[str, Any]) -> dict[str, Any]:
        """Pools the figures of a candidate on a device with those of a new measurement."""
        candidate, label = place
        return pool_figures(device_figures(self._rows[candidate].metrics, label), figures)

    def record(self, row: TrialRow, place: Place, phase: str, pooled: Mapping[str, Any] | None) -> None:
        """Takes over a new measurement: the candidate's new row, and the pooled figures to choose by."""
        self.put(row)
        self.recall(place, phase, pooled)

    def next_measurements(self, *, contenders: bool) -> list[tuple[Place, str]]:
        """Returns what to measure next, each with its phase; empty when everything is done.

        First members, and ``contenders`` if asked for, that were not measured :data:`AGAIN`; then the members'
        :data:`FINAL` measurements.
        """
        fronts = self.fronts()
        members = self._places(fronts, contenders=False)
        again = [*members, *(self._places(fronts, contenders=True) if contenders else ())]
        left = [place for place in dict.fromkeys(again) if not self._is_over(place) and place not in self._pooled]
        if left:
            return [(place, AGAIN) for place in left]
        return [(place, FINAL) for place in members if not self._is_over(place)]

    def measurements_left(self, fronts: Fronts) -> list[Place]:
        """Returns all measurements that members (twice) and contenders (once) of ``fronts`` still need."""
        members = self._places(fronts, contenders=False)
        places = dict.fromkeys([*members, *self._places(fronts, contenders=True)])
        left = [place for place in places if not self._is_over(place) and place not in self._pooled]
        return left + [place for place in members if not self._is_over(place)]

    def fronts(self, *, final: bool = False) -> Fronts:
        """Returns the fronts by the figures so far."""
        unconfirmed = {view.label: self._reasons_without_final(view.label) for view in self._views} if final else None
        deciding = [self._deciding(row) for row in self.rows]
        return fronts_of(
            self.rows, self._views, self._baseline, deciding=deciding, unconfirmed=unconfirmed, final=final
        )

    def judge(self, metrics: Mapping[str, Any]) -> tuple[TrialState, str | None]:
        """Judges a candidate with these figures, see :func:`search.fronts.feasibility.judge`."""
        joint = self._views[-1]
        return judge(joint.objectives, joint.constraints, metrics, self._baseline)

    def lacking(self, label: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
        """Returns a metric that an objective or constraint names and that only the earlier figures have; None if
        none."""
        view = next((view for view in self._views if view.label == label), self._views[-1])
        old, new = view.metrics(before), view.metrics(after)
        for objective in view.objectives:
            if objective.value(old) is not None and objective.value(new) is None:
                return objective.metric
        baseline, nowhere = view.metrics(self._baseline), float("inf")
        for constraint in view.constraints:
            if constraint.violation(old, baseline) < nowhere == constraint.violation(new, baseline):
                return constraint.metric
        return None

    def _deciding(self, row: TrialRow) -> TrialRow:
        """Returns a candidate with the figures that it is chosen by: pooled where it was measured again."""
        places = [(row.candidate_id, label) for label in self._labels if (row.candidate_id, label) in self._pooled]
        if row.state is not TrialState.DONE or not places:
            return row
        metrics = row.metrics
        for place in places:
            metrics = replace_device(metrics, place[1], self._pooled[place])
        state, reason = self.judge(metrics)
        return replace(row, state=state, reason=reason, metrics=metrics)

    def _is_over(self, place: Place) -> bool:
        return place in self._final or place in self.given_up or self._needs_nothing(place[0])

    def _needs_nothing(self, candidate_id: str) -> bool:
        return self._rows[candidate_id].digest in self._confirmed or self._lacks_times(candidate_id)

    def _lacks_times(self, candidate_id: str) -> bool:
        """Returns whether no device can time the candidate."""
        return SIMULATED_FORMATS in self._rows[candidate_id].metrics

    def _places(self, fronts: Fronts, *, contenders: bool) -> list[Place]:
        """Returns where to measure members or contenders: those of a device's front on it, members of the joint front
        on all
        devices."""
        places: dict[Place, None] = {}
        for label, front in fronts.fronts.items():
            if contenders and label is None and len(fronts.fronts) > 1:
                continue
            ids = front.contenders if contenders else [entry.candidate_id for entry in front.members]
            labels = [label] if label else self._labels
            places |= dict.fromkeys((candidate, on) for candidate in ids for on in labels)
        return list(places)

    def _reasons_without_final(self, label: str | None) -> dict[str, str]:
        """Candidates whose figures on a device (None: on any) were not measured finally, with the reason."""
        labels = self._labels if label is None else [label]
        places = [(candidate, on) for candidate in self._rows for on in labels if not self._needs_nothing(candidate)]
        return {place[0]: self.given_up.get(place, NO_TIME) for place in places if place not in self._final}
