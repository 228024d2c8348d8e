"""What must be measured again before a front is final, and what the front is by what was measured."""

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
"""Rounds in which contenders are measured again with the members."""

AGAIN, FINAL = "again", "final"
"""The two later measurements of a candidate, as the store names them: one to choose by, one to report."""

NO_TIME = "no time was left to measure it again"

Place = tuple[str, str]
"""A candidate and the label of a device."""


class FinalPlan:
    """Members and contenders are measured :data:`AGAIN`, and that and the search's figures together decide who is a
    member. Members are then measured once more, and that :data:`FINAL` figure alone is reported of them: it had no part
    in the choice. Pure: it measures and stores nothing.

    ``labels`` are those of the job's devices, ``views`` the job's, the joint one last. Candidates whose digests are
    ``known`` have their figures from elsewhere, where nobody could choose them for their luck: they are confirmed.
    """

    def __init__(
        self,
        rows: Iterable[TrialRow],
        views: Sequence[View],
        baseline: Mapping[str, Any],
        labels: Sequence[str],
        known: Collection[str] = (),
    ) -> None:
        self._known = known
        self._rows = {row.candidate_id: row for row in rows}
        self._views, self._baseline, self._labels = views, baseline, labels
        self._pooled: dict[Place, Mapping[str, Any]] = {}
        self._final: set[Place] = set()
        self.given_up: dict[Place, str] = {}
        """What could not be measured again now, and why."""

    @property
    def rows(self) -> list[TrialRow]:
        """All candidates, with the figures that are reported of them now, by number."""
        return sorted(self._rows.values(), key=lambda row: row.number)

    @property
    def is_begun(self) -> bool:
        """Whether something was measured again."""
        return bool(self._pooled or self._final)

    def row(self, candidate_id: str) -> TrialRow:
        """A candidate as it is reported now."""
        return self._rows[candidate_id]

    def recall(self, place: Place, phase: str, pooled: Mapping[str, Any] | None) -> None:
        """Takes over what was stored of an earlier run of the job; the row has its figures already. A candidate that
        an earlier version measured twice is finally measured."""
        if phase == FINAL:
            self._final.add(place)
        elif phase == AGAIN:
            self._pooled[place] = pooled or {}

    def put(self, row: TrialRow) -> None:
        """Takes over a candidate as it is now."""
        self._rows[row.candidate_id] = row

    def pooled(self, place: Place, found: Mapping[str, Any]) -> dict[str, Any]:
        """The figures of a candidate there, with those ``found`` when it was measured again."""
        candidate, label = place
        return pool_figures(device_figures(self._rows[candidate].metrics, label), found)

    def record(self, row: TrialRow, place: Place, phase: str, pooled: Mapping[str, Any] | None) -> None:
        """Takes over a measurement: the candidate as it then is, and what was ``pooled`` with it to choose by."""
        self.put(row)
        self.recall(place, phase, pooled)

    def wanted(self, *, contenders: bool) -> list[tuple[Place, str]]:
        """What to measure next, and for what: as long as members, and ``contenders`` if they count, were not measured
        again, them; then the members once more. Members come first; nothing is left when all were."""
        fronts = self.fronts()
        members = self._places(fronts, contenders=False)
        again = [*members, *(self._places(fronts, contenders=True) if contenders else ())]
        left = [place for place in dict.fromkeys(again) if not self._is_over(place) and place not in self._pooled]
        if left:
            return [(place, AGAIN) for place in left]
        return [(place, FINAL) for place in members if not self._is_over(place)]

    def measurements_left(self, fronts: Fronts) -> list[Place]:
        """The places of all measurements that the members and contenders of ``fronts`` still need: a member's twice."""
        members = self._places(fronts, contenders=False)
        both = dict.fromkeys([*members, *self._places(fronts, contenders=True)])
        left = [place for place in both if not self._is_over(place) and place not in self._pooled]
        return left + [place for place in members if not self._is_over(place)]

    def fronts(self, *, final: bool = False) -> Fronts:
        """The fronts by what is known now."""
        unconfirmed = {view.label: self._unconfirmed(view.label) for view in self._views} if final else None
        deciding = [self._deciding(row) for row in self.rows]
        return fronts_of(
            self.rows, self._views, self._baseline, deciding=deciding, unconfirmed=unconfirmed, final=final
        )

    def judge(self, metrics: Mapping[str, Any]) -> tuple[TrialState, str | None]:
        """What a candidate of these figures is."""
        joint = self._views[-1]
        return judge(joint.objectives, joint.constraints, metrics, self._baseline)

    def lacking(self, label: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
        """A metric that an objective or constraint names and that only the earlier figures there have; None where there
        is none."""
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
        """A candidate with the figures that it is chosen by."""
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
        return self._rows[candidate_id].digest in self._known or self._is_untimed(candidate_id)

    def _is_untimed(self, candidate_id: str) -> bool:
        """Whether no device can time it."""
        return SIMULATED_FORMATS in self._rows[candidate_id].metrics

    def _places(self, fronts: Fronts, *, contenders: bool) -> list[Place]:
        """Where members, or contenders, must be measured again: those of a device there; members of the joint front
        everywhere, since it rests on all figures."""
        found: dict[Place, None] = {}
        for label, front in fronts.fronts.items():
            if contenders and label is None and len(fronts.fronts) > 1:
                continue
            ids = front.contenders if contenders else [entry.candidate_id for entry in front.members]
            found |= dict.fromkeys((one, place) for one in ids for place in ([label] if label else self._labels))
        return list(found)

    def _unconfirmed(self, label: str | None) -> dict[str, str]:
        """Why a candidate's figures on a device, or on any, were not taken again."""
        labels = self._labels if label is None else [label]
        places = [(one, place) for one in self._rows for place in labels if not self._needs_nothing(one)]
        return {place[0]: self.given_up.get(place, NO_TIME) for place in places if place not in self._final}
