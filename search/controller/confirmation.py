"""The final measurements: the members of a front, and who may belong to it, are measured again."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluators.devices.deadline import NEVER
from hwprofiles.errors import CandidateError, ParetuneError, UnhealthyMeasurement, is_passing
from search.budget.allowance import Allowance
from search.controller.final_plan import AGAIN, FINAL_ROUNDS, FinalPlan, Place
from search.controller.scheduler import TROUBLES_IN_A_ROW
from search.devices.link import DeviceLost, ErrandLink
from search.fronts.joint import Fronts
from search.fronts.metrics import failed, updated
from search.job.views import views_of
from search.states import TrialState
from search.store import Lease, Store, TrialRow
from search.trials.context import JobContext
from search.trials.preparation import PreparationResult
from search.trials.trial import MEASURING_S, Outcome, TrialRunner

POOLED = "pooled"
"""The key of a stored measurement that a candidate was chosen by: its figures together with the search's."""

Telling = Callable[[Sequence[TrialRow], Fronts, str], None]


class Confirmation:
    """Measures the members and contenders of a job's fronts again, as :class:`FinalPlan` has it, after it has tried the
    candidates that were put off once more. Used by one thread, the controller's; may be killed at any moment, another
    one goes on.

    What the moment keeps from being measured is tried once more in the end, and else keeps the figures that it has; so
    does all that is left after several such troubles in a row. ``devices`` maps the labels of the job's devices to
    their profiles' digests. ``deadline`` says when there is no time left; it is asked before each measurement, which
    the ``allowance`` ends. ``known`` are the digests of candidates that are confirmed as they are.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        order: JobContext,
        prepared: PreparationResult,
        folder: Path,
        devices: dict[str, str],
        *,
        deadline: Callable[[], bool] = lambda: False,
        allowance: Allowance | None = None,
        known: Collection[str] = (),
        telling: Telling = lambda rows, fronts, message: None,
    ) -> None:
        self._store, self._lease, self._order, self._prepared = store, lease, order, prepared
        self._folder, self._devices, self._job = folder, devices, order.job
        self._deadline, self._telling = deadline, telling
        self._allowance, self._known = allowance, known
        self._clock = NEVER.clock if allowance is None else allowance.ends.clock
        self._runners: dict[str, TrialRunner] = {}
        self._durations: dict[str, list[float]] = {}
        self._earlier_durations: dict[str, float | None] = {}
        self._in_a_row = 0

    @property
    def is_begun(self) -> bool:
        """Whether a candidate was measured again. Then the search is over: its strategy was told the figures that these
        have replaced, and asking it again would give others."""
        return self._plan().is_begun

    def estimated_s(self, rows: Sequence[TrialRow], fronts: Fronts) -> float:
        """How many seconds the final measurements will take if these are the fronts of all ``rows`` when the search
        ends: members are measured twice, contenders once. By how long candidates were measured so far, in this phase
        where some were; 0 where there are none. New members and contenders that come up then are not in it."""
        plan = self._plan_of(rows)
        return sum(self._seconds_at(plan.row(place[0]), place[1]) for place in plan.measurements_left(fronts))

    def run(self) -> tuple[list[TrialRow], Fronts]:
        """Measures until every member was, or there is no time left; returns all candidates and the final fronts, which
        it does not store. Raises :class:`DeviceLost` where a device is not there any more."""
        try:
            self._try_put_off()
            plan = self._plan()
            self._measure_all(plan)
            if plan.given_up and not self._is_over():
                plan.given_up.clear()
                self._measure_all(plan)
        finally:
            for runner in self._runners.values():
                runner.close()
            self._runners.clear()
        return plan.rows, plan.fronts(final=True)

    def _is_over(self) -> bool:
        return self._in_a_row >= TROUBLES_IN_A_ROW or self._deadline()

    def _plan_of(self, rows: Sequence[TrialRow]) -> FinalPlan:
        return FinalPlan(rows, views_of(self._job), self._prepared.metrics, list(self._devices), self._known)

    def _plan(self) -> FinalPlan:
        rows = self._store.trials(self._lease.job_id)
        plan = self._plan_of(rows)
        labels = {digest: label for label, digest in self._devices.items()}
        for row in rows:
            for measured in self._store.measurements(row.candidate_id):
                record = measured["record"]
                label = labels.get(record.get("profile_digest"), next(iter(self._devices)))
                plan.recall((row.candidate_id, label), measured["phase"], record.get(POOLED))
        return plan

    def _measure_all(self, plan: FinalPlan) -> None:
        number = 0
        while wanted := plan.wanted(contenders=number < FINAL_ROUNDS):
            number += 1
            fronts = plan.fronts()
            for count, (place, phase) in enumerate(wanted, 1):
                if self._is_over():
                    return
                what = "measuring again" if phase == AGAIN else "confirming the members"
                self._telling(plan.rows, fronts, f"{what}, {count} of {len(wanted)}")
                self._measure(plan, place, phase)

    def _measure(self, plan: FinalPlan, place: Place, phase: str) -> None:
        candidate, label = place
        row, begun = plan.row(candidate), self._clock()
        pooled: dict[str, Any] | None = None
        try:
            found, record = self._found(plan, row, label, phase)
            pooled = plan.pooled(place, found) if phase == AGAIN else None
            metrics = updated(row.metrics, label, found if pooled is None else pooled)
            state, reason = plan.judge(metrics)
        except DeviceLost:
            raise
        except ParetuneError as error:
            if not isinstance(error, CandidateError) or is_passing(error):
                plan.given_up[place] = error.message
                self._in_a_row += 1
                return
            metrics = failed(row.metrics, label, error.state, error.message)
            record = {"state": error.state, "reason": error.message}
            if len(self._devices) > 1:
                record["profile_digest"] = self._devices[label]
            state, reason = plan.judge(metrics) if metrics else (TrialState(error.state), error.message)
        self._in_a_row = 0
        record[MEASURING_S] = round(self._clock() - begun, 3)
        self._durations.setdefault(label, []).append(record[MEASURING_S])
        if pooled is not None:
            record[POOLED] = pooled
        self._store.replace_measurement(
            self._lease, candidate, state=state, reason=reason, metrics=metrics, measurement=record, phase=phase
        )
        plan.record(replace(row, state=state, reason=reason, metrics=metrics), place, phase, pooled)

    def _found(self, plan: FinalPlan, row: TrialRow, label: str, phase: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a device says now of a candidate, and the record of it."""
        runner = self._runner(phase)
        path = runner.path(row.digest)
        if not path.exists():
            runner.build(row.decisions, row.digest)
        found = runner.evaluator(label).measure_again(path, row.decisions)
        lacking = plan.lacking(label, row.metrics, updated(row.metrics, label, found.metrics))
        if lacking is not None:
            raise UnhealthyMeasurement(f"no {lacking} could be had this time", "quieten the machine")
        return found.metrics, dict(found.measurement or {})

    def _try_put_off(self) -> None:
        """Works once more on the candidates that the search put off; those that meet trouble again stay pending."""
        rows = self._store.trials(self._lease.job_id)
        put_off = [row for row in rows if row.state is TrialState.PENDING and row.reason is not None]
        for count, row in enumerate(put_off, 1):
            if self._is_over():
                return
            fronts = self._plan_of(rows).fronts()
            self._telling(rows, fronts, f"trying again what was put off, {count} of {len(put_off)}")
            try:
                outcome = self._runner("search").run(row.decisions, row.digest)
            except DeviceLost:
                raise
            except ParetuneError as error:
                self._store.put_off(self._lease, row.candidate_id, error.message)
                self._in_a_row += 1
                continue
            self._in_a_row = 0
            self._finish(row, outcome)

    def _finish(self, row: TrialRow, outcome: Outcome) -> None:
        state, reason = outcome.state, outcome.reason
        if state is TrialState.DONE:
            joint = FinalPlan((), views_of(self._job), self._prepared.metrics, ())
            state, reason = joint.judge(outcome.metrics)
        self._store.finish_trial(
            self._lease, row.candidate_id, state, reason=reason, metrics=outcome.metrics,
            artifact_sha256=outcome.artifact_sha256, measurement=outcome.measurement,
            others=outcome.further_measurements, wall_s=outcome.wall_s,
        )  # fmt: skip

    def _runner(self, phase: str) -> TrialRunner:
        """What works for a phase: a remote device answers the same question for the same purpose only once."""
        if phase not in self._runners:
            purpose = f"{self._lease.job_id} {phase}"
            link = ErrandLink(self._store.url, purpose, self._job.limits.device_s)
            order = replace(self._order, link=link)
            self._runners[phase] = TrialRunner(
                order, self._prepared.facts, self._folder, allowance=self._allowance
            )  # fmt: skip
        return self._runners[phase]

    def _seconds_at(self, row: TrialRow, label: str) -> float:
        if durations := self._durations.get(label):
            return statistics.median(durations)
        if row.candidate_id not in self._earlier_durations:
            records = (measured["record"] for measured in self._store.measurements(row.candidate_id))
            seconds = [record[MEASURING_S] for record in records if MEASURING_S in record]
            self._earlier_durations[row.candidate_id] = statistics.mean(seconds) if seconds else None
        earlier = self._earlier_durations[row.candidate_id]
        return row.wall_s / len(self._devices) if earlier is None else earlier
