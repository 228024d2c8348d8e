"""The final measurements: the members of a front, and who may belong to it, are measured again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwprofiles.errors import CandidateError
from search.device_metrics import failed, updated
from search.errand_link import ErrandLink
from search.joint_fronts import Fronts, fronts_of
from search.preparing import Prepared
from search.scheduler import judged
from search.states import TrialState
from search.store import Lease, Store, TrialRow
from search.techniques.formats import SIMULATED_FORMATS
from search.trial import MEASURING_S, TrialRunner
from search.views import views_of
from search.work_order import WorkOrder

FINAL_ROUNDS = 2
"""Rounds in which contenders are measured again with the members."""

Place = tuple[str, str]
"""A candidate and the label of a device."""

Telling = Callable[[Sequence[TrialRow], Fronts, str], None]


class Confirmation:
    """Measures the members and contenders of a job's fronts again. Used by one thread, the controller's.

    ``devices`` maps the labels of the job's devices to their profiles' digests. ``deadline`` says when there is no time
    left: it is asked before each measurement, and what was not measured again by then keeps its figures of the search.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        order: WorkOrder,
        prepared: Prepared,
        folder: Path,
        devices: dict[str, str],
        *,
        deadline: Callable[[], bool] = lambda: False,
        telling: Telling = lambda rows, fronts, message: None,
    ) -> None:
        self._store, self._lease, self._prepared, self._folder = store, lease, prepared, folder
        self._job = order.job
        link = ErrandLink(store.url, f"{lease.job_id} final", self._job.limits.device_s)
        self._order = replace(order, link=link)
        self._devices, self._deadline, self._telling = devices, deadline, telling
        self._views = views_of(self._job)
        self._durations: dict[str, list[float]] = {}
        self._seen: dict[str, float | None] = {}

    def is_begun(self, rows: Iterable[TrialRow]) -> bool:
        """Whether a candidate was measured again. Then the search is over: its strategy was told the figures that these
        have replaced, and asking it again would give others."""
        return bool(self._confirmed(rows))

    def estimated_s(self, rows: Sequence[TrialRow], fronts: Fronts) -> float:
        """How many seconds the final measurements of these fronts will take, of members and contenders that are there
        now: by how long candidates were measured so far, in this phase where some were. 0 where nothing is known."""
        wanted = self._wanted(fronts, contenders=True) - self._untimed(rows) - self._confirmed(rows)
        by_id = {row.candidate_id: row for row in rows}
        return sum(self._seconds_of(by_id[candidate], label) for candidate, label in wanted if candidate in by_id)

    def run(self) -> Fronts:
        """Measures until every member was measured twice, and returns the final fronts, which it does not store."""
        job_id = self._lease.job_id
        rows = self._store.trials(job_id)
        runner = TrialRunner(self._order, self._prepared.facts, self._folder)
        confirmed = self._confirmed(rows) | self._untimed(rows)
        try:
            for number in range(len(rows) * len(self._devices) + FINAL_ROUNDS):
                fronts = fronts_of(rows, self._views, self._prepared.metrics)
                wanted = self._wanted(fronts, contenders=number < FINAL_ROUNDS) - confirmed
                pending = [
                    (row, label) for row in rows for label in self._devices if (row.candidate_id, label) in wanted
                ]
                if not pending:
                    break
                for count, (row, label) in enumerate(pending, 1):
                    if self._deadline():
                        break
                    self._telling(rows, fronts, f"measuring again, {count} of {len(pending)}")
                    self._measure_again(runner, self._store.trial(row.candidate_id), label)
                    confirmed.add((row.candidate_id, label))
                rows = self._store.trials(job_id)
                if self._deadline():
                    break
        finally:
            runner.close()
        on = {label: {one for one, place in confirmed if place == label} for label in self._devices}
        eligible: dict[str | None, frozenset[str]] = {label: frozenset(ids) for label, ids in on.items()}
        eligible[None] = frozenset(set.intersection(*on.values()))
        return fronts_of(rows, self._views, self._prepared.metrics, confirmed=eligible, final=True)

    def _untimed(self, rows: Iterable[TrialRow]) -> set[Place]:
        """Candidates that no device can time."""
        return {
            (row.candidate_id, label) for row in rows if SIMULATED_FORMATS in row.metrics for label in self._devices
        }

    def _wanted(self, fronts: Fronts, *, contenders: bool) -> set[Place]:
        """What must be measured again, and where: a device's members and contenders there; members of the joint front
        everywhere, since it rests on all figures."""
        wanted: set[Place] = set()
        for label, front in fronts.fronts.items():
            ids = {entry.candidate_id for entry in front.members}
            if contenders and (label is not None or len(fronts.fronts) == 1):
                ids |= set(front.contenders)
            wanted |= {(one, place) for one in ids for place in ([label] if label else self._devices)}
        return wanted

    def _confirmed(self, rows: Iterable[TrialRow]) -> set[Place]:
        """Candidates that were measured again, and where."""
        labels = {digest: label for label, digest in self._devices.items()}
        return {
            (row.candidate_id, labels.get(m["record"].get("profile_digest"), next(iter(self._devices))))
            for row in rows
            for m in self._store.measurements(row.candidate_id)
            if m["phase"] == "final"
        }

    def _measure_again(self, runner: TrialRunner, row: TrialRow, label: str) -> None:
        record: dict[str, Any]
        begun = time.monotonic()
        try:
            path = runner.path(row.digest)
            if not path.exists():
                runner.build(row.decisions, row.digest)
            found = runner.bench(label).measure_again(path, row.decisions)
            metrics, record = updated(row.metrics, label, found.metrics), found.measurement or {}
        except CandidateError as error:
            metrics = failed(row.metrics, label, error.state, error.message)
            record = {"state": error.state, "reason": error.message}
            if len(self._devices) > 1:
                record["profile_digest"] = self._devices[label]
        seconds = round(time.monotonic() - begun, 3)
        self._durations.setdefault(label, []).append(seconds)
        state, reason = TrialState(record.get("state", TrialState.DONE)), record.get("reason")
        if metrics:
            objectives, constraints = self._job.parsed_objectives, self._job.parsed_constraints
            state, reason = judged(objectives, constraints, metrics, self._prepared.metrics)
        self._store.replace_measurement(
            self._lease, row.candidate_id, state=state, reason=reason, metrics=metrics,
            measurement=record | {MEASURING_S: seconds}, phase="final",
        )  # fmt: skip

    def _seconds_of(self, row: TrialRow, label: str) -> float:
        if durations := self._durations.get(label):
            return statistics.median(durations)
        if row.candidate_id not in self._seen:
            records = (measured["record"] for measured in self._store.measurements(row.candidate_id))
            seconds = [record[MEASURING_S] for record in records if MEASURING_S in record]
            self._seen[row.candidate_id] = statistics.mean(seconds) if seconds else None
        known = self._seen[row.candidate_id]
        return row.wall_s / len(self._devices) if known is None else known
