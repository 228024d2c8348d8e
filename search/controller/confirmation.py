"""The final measurements: members of a front and contenders are measured again."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hwprofiles.errors import CandidateError, ParetuneError, UnhealthyMeasurement, is_transient
from search.budget.allowance import Allowance
from search.controller.final_plan import AGAIN, FINAL_ROUNDS, FinalPlan, Place
from search.controller.prepared_job import PreparedJob
from search.controller.scheduler import TROUBLES_IN_A_ROW
from search.devices.link import DeviceLost
from search.fronts.joint import Fronts
from search.fronts.metrics import drop_device, replace_device
from search.outcome import TrialOutcome
from search.states import TrialState
from search.store import TrialRow
from search.trials.trial import MEASURING_S, TrialRunner

POOLED = "pooled"
"""Key of a stored measurement: its figures pooled with the search's, by which the candidate was chosen."""


class Confirmation:
    """Measures the members and contenders of a job's fronts again, as :class:`FinalPlan` says.

    First tries the candidates that were put off once more. A measurement that fails for a transient reason is tried
    again at the end, else the earlier figures stay; several such failures in a row end everything. Use from one thread.
    May be killed at any moment: another one resumes.

    The ``allowance`` limits each measurement; once its time is over, none is begun. Before each, ``report`` is called
    with all candidates, their fronts, and what is about to be done.
    """

    def __init__(
        self,
        job: PreparedJob,
        allowance: Allowance,
        report: Callable[[Sequence[TrialRow], Fronts, str], None],
    ) -> None:
        self._job, self._allowance, self._report = job, allowance, report
        self._store, self._lease, self._devices = job.store, job.lease, job.digests
        self._clock = allowance.ends.clock
        self._runners: dict[str, TrialRunner] = {}
        self._durations: dict[str, list[float]] = {}
        self._earlier_durations: dict[str, float | None] = {}
        self._in_a_row = 0

    @property
    def is_begun(self) -> bool:
        """Whether a candidate was measured again. The search cannot be resumed then: the strategy was told figures that
        have been replaced since, so that it would propose other candidates."""
        return self._plan().is_begun

    def estimate_s(self, rows: Sequence[TrialRow], fronts: Fronts) -> float:
        """Estimates the seconds of the final measurements for these fronts of all ``rows``.

        Members are measured twice, contenders once, each for as long as its earlier measurements took (those of this
        phase, if any). New members and contenders that turn up are not included.
        """
        plan = self._plan_of(rows)
        return sum(self._seconds_at(plan.row(place[0]), place[1]) for place in plan.measurements_left(fronts))

    def run(self) -> tuple[list[TrialRow], Fronts]:
        """Measures until every member was measured, or time is up (minutes).

        Returns all candidates and the final fronts, which it does not store. Raises :class:`DeviceLost` if a device is
        lost.
        """
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
        return self._in_a_row >= TROUBLES_IN_A_ROW or self._allowance.ends.is_over

    def _plan_of(self, rows: Sequence[TrialRow]) -> FinalPlan:
        return FinalPlan(rows, self._job.views, self._job.prepared.metrics, list(self._devices), self._job.premeasured)

    def _plan(self) -> FinalPlan:
        rows = self._job.trials()
        plan = self._plan_of(rows)
        labels = {digest: label for label, digest in self._devices.items()}
        for row in rows:
            for measurement in self._store.trials.measurements(row.candidate_id):
                record = measurement["record"]
                label = labels.get(record.get("profile_digest"), next(iter(self._devices)))
                plan.recall((row.candidate_id, label), measurement["phase"], record.get(POOLED))
        return plan

    def _measure_all(self, plan: FinalPlan) -> None:
        number = 0
        while measurements := plan.next_measurements(contenders=number < FINAL_ROUNDS):
            number += 1
            fronts = plan.fronts()
            for count, (place, phase) in enumerate(measurements, 1):
                if self._is_over():
                    return
                action = "re-measuring the front" if phase == AGAIN else "confirming the members"
                self._report(plan.rows, fronts, f"{action}, {count} of {len(measurements)}")
                self._measure(plan, place, phase)

    def _measure(self, plan: FinalPlan, place: Place, phase: str) -> None:
        candidate, label = place
        row, begun = plan.row(candidate), self._clock()
        pooled: dict[str, Any] | None = None
        try:
            figures, record = self._measure_again(plan, row, label, phase)
            pooled = plan.pool(place, figures) if phase == AGAIN else None
            metrics = replace_device(row.metrics, label, figures if pooled is None else pooled)
            state, reason = plan.judge(metrics)
        except DeviceLost:
            raise
        except ParetuneError as error:
            if not isinstance(error, CandidateError) or is_transient(error):
                plan.given_up[place] = error.message
                self._in_a_row += 1
                return
            metrics = drop_device(row.metrics, label, error.state, error.message)
            record = {"state": error.state, "reason": error.message}
            if len(self._devices) > 1:
                record["profile_digest"] = self._devices[label]
            state, reason = plan.judge(metrics) if metrics else (TrialState(error.state), error.message)
        self._in_a_row = 0
        record[MEASURING_S] = round(self._clock() - begun, 3)
        self._durations.setdefault(label, []).append(record[MEASURING_S])
        if pooled is not None:
            record[POOLED] = pooled
        self._store.trials.replace_measurement(
            self._lease, candidate, state=state, reason=reason, metrics=metrics, measurement=record, phase=phase
        )
        plan.record(replace(row, state=state, reason=reason, metrics=metrics), place, phase, pooled)

    def _measure_again(
        self, plan: FinalPlan, row: TrialRow, label: str, phase: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Measures a candidate on a device; returns its figures and the record."""
        runner = self._runner(phase)
        path = runner.path(row.digest)
        if not path.exists():
            runner.build(row.decisions, row.digest)
        result = runner.evaluator(label).measure_again(path, row.decisions)
        lacking = plan.lacking(label, row.metrics, replace_device(row.metrics, label, result.metrics))
        if lacking is not None:
            raise UnhealthyMeasurement(f"no {lacking} could be had this time", "close other programs on the machine")
        return result.metrics, dict(result.measurement or {})

    def _try_put_off(self) -> None:
        """Tries the candidates that the search put off once more; those that fail transiently again stay pending."""
        rows = self._job.trials()
        put_off = [row for row in rows if row.state is TrialState.PENDING and row.reason is not None]
        for count, row in enumerate(put_off, 1):
            if self._is_over():
                return
            fronts = self._plan_of(rows).fronts()
            self._report(rows, fronts, f"trying again what was put off, {count} of {len(put_off)}")
            try:
                outcome = self._runner("search").run(row.decisions, row.digest)
            except DeviceLost:
                raise
            except ParetuneError as error:
                self._store.trials.put_off(self._lease, row.candidate_id, error.message)
                self._in_a_row += 1
                continue
            self._in_a_row = 0
            self._finish(row, outcome)

    def _finish(self, row: TrialRow, outcome: TrialOutcome) -> None:
        if outcome.state is TrialState.DONE:
            state, reason = self._plan_of(()).judge(outcome.metrics)
            outcome = replace(outcome, state=state, reason=reason)
        self._store.trials.finish(self._lease, row.candidate_id, outcome)

    def _runner(self, phase: str) -> TrialRunner:
        """Returns the runner of a phase: a remote device measures an equal request for an equal purpose only once."""
        if phase not in self._runners:
            context = self._job.context.with_purpose(f"{self._lease.job_id} {phase}")
            self._runners[phase] = TrialRunner(
                context, self._job.prepared.facts, self._job.folder, allowance=self._allowance
            )
        return self._runners[phase]

    def _seconds_at(self, row: TrialRow, label: str) -> float:
        if durations := self._durations.get(label):
            return statistics.median(durations)
        if row.candidate_id not in self._earlier_durations:
            records = (measurement["record"] for measurement in self._store.trials.measurements(row.candidate_id))
            seconds = [record[MEASURING_S] for record in records if MEASURING_S in record]
            self._earlier_durations[row.candidate_id] = statistics.mean(seconds) if seconds else None
        earlier = self._earlier_durations[row.candidate_id]
        return row.wall_s / len(self._devices) if earlier is None else earlier
