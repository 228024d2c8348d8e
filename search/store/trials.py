"""Candidates of jobs in the store, with their results and measurements."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from itertools import count
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update

from search.outcome import TrialOutcome
from search.space.candidate import Candidate
from search.states import TrialState
from search.store import figures, lookup, trial_counts
from search.store.columns import utc_now
from search.store.models import Measurement, Trial
from search.store.rows import Json, Lease, TrialRow
from search.store.sight import EVERYTHING, Sight
from search.store.transactions import Transactions
from search.store.versions import JobVersion

_UNFINISHED = [state for state in TrialState if not state.finished]

# Fields of rows are named like the columns of tables.
_COLUMNS = [getattr(Trial, field.name) for field in fields(TrialRow)]


class Trials:
    """The store's part about candidates of jobs; each method is a transaction.

    Methods that write take the :class:`Lease` of the candidate's job. They write all or nothing, and raise
    :class:`StaleLease` unless the lease has the job's highest epoch and was not released,
    :class:`hwprofiles.errors.NotFound` for a candidate that is not of the lease's job. Reading what does not exist
    raises :class:`NotFound` too.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(
        self, lease: Lease, block: int, strategy: str, simulated: bool, candidates: Sequence[tuple[int, Candidate]]
    ) -> list[TrialRow]:
        """Adds the candidates of a block, each with its trial number, as pending; returns them in the same order.

        Raises :class:`StorageError`, and adds none, if a number or a candidate is in the job already.
        """
        trials = [
            TrialRow(
                candidate_id=candidate_id_of(lease.job_id, candidate.digest),
                job_id=lease.job_id,
                number=number,
                block=block,
                digest=candidate.digest,
                decisions=candidate.decisions,
                strategy=strategy,
                simulated=simulated,
                state=TrialState.PENDING,
                reason=None,
                metrics={},
                artifact_sha256=None,
                wall_s=0.0,
                origin=None if candidate.origin is None else dict(candidate.origin),
            )
            for number, candidate in candidates
        ]
        with self._transactions.holding(lease) as connection:
            trials = _with_free_ids(connection, trials)
            if trials:
                connection.execute(insert(Trial), [vars(trial) for trial in trials])
                trial_counts.add(connection, lease.job_id, TrialState.PENDING, len(trials))
        return trials

    def set_state(self, lease: Lease, candidate_id: str, state: TrialState) -> None:
        """Sets the state of a candidate of the lease's job."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease, candidate_id, state=state)

    def put_off(self, lease: Lease, candidate_id: str, reason: str) -> None:
        """Leaves a candidate pending, with the ``reason`` why it has no result yet."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease, candidate_id, state=TrialState.PENDING, reason=reason)

    def finish(self, lease: Lease, candidate_id: str, outcome: TrialOutcome) -> None:
        """Stores the outcome of a candidate, with its measurements as of phase ``search``."""
        with self._transactions.holding(lease) as connection:
            _change(
                connection,
                lease,
                candidate_id,
                state=outcome.state,
                reason=outcome.reason,
                metrics=dict(outcome.metrics),
                artifact_sha256=outcome.artifact_sha256,
                wall_s=outcome.wall_s,
            )
            for record in (outcome.measurement, *outcome.further_measurements):
                if record is not None:
                    _add_measurement(connection, lease, candidate_id, "search", record)

    def replace_measurement(
        self,
        lease: Lease,
        candidate_id: str,
        *,
        state: TrialState,
        metrics: Mapping[str, Any],
        measurement: Json,
        phase: str,
        reason: str | None = None,
    ) -> None:
        """Adds a later measurement of a candidate, and replaces its state, ``reason`` and metrics."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease, candidate_id, state=state, reason=reason, metrics=dict(metrics))
            _add_measurement(connection, lease, candidate_id, phase, measurement)

    def reset_open(self, lease: Lease) -> list[TrialRow]:
        """Makes a job's unfinished candidates pending again, for resuming; returns them by trial number."""
        with self._transactions.holding(lease) as connection:
            unfinished = Trial.job_id == lease.job_id, Trial.state.in_(_UNFINISHED)
            connection.execute(update(Trial).where(*unfinished).values(state=TrialState.PENDING))
            trial_counts.recount(connection, lease.job_id)
            return _read(connection, *unfinished)

    def drop_open(self, lease: Lease) -> None:
        """Removes candidates that were proposed but never finished; those that were put off stay pending."""
        unfinished = Trial.job_id == lease.job_id, Trial.state.in_(_UNFINISHED)
        with self._transactions.holding(lease) as connection:
            connection.execute(delete(Trial).where(*unfinished, Trial.reason.is_(None)))
            connection.execute(update(Trial).where(*unfinished).values(state=TrialState.PENDING))
            trial_counts.recount(connection, lease.job_id)

    def of_job(self, job_id: str) -> list[TrialRow]:
        """Returns a job's candidates by trial number."""
        with self._transactions.reading() as connection:
            rows = _read(connection, Trial.job_id == job_id)
            if not rows:
                lookup.require_job(connection, job_id)
        return rows

    def some(self, job_id: str, candidate_ids: Collection[str]) -> list[TrialRow]:
        """Returns those of a job's candidates that have one of these ids, by trial number."""
        with self._transactions.reading() as connection:
            # Without the job, by whose index SQLite would read all of its candidates.
            rows = _read(connection, Trial.candidate_id.in_(candidate_ids))
        return [row for row in rows if row.job_id == job_id]

    def page(
        self,
        job_id: str,
        states: Collection[TrialState],
        limit: int,
        *,
        metric: str | None = None,
        after: int | None = None,
        down: bool = False,
    ) -> list[TrialRow]:
        """Returns at most ``limit`` of a job's candidates in these states by trial number, ``down`` from the highest.

        With a ``metric``, for which :meth:`has_figures` holds, the measured ones by their figure of it. They begin
        behind the candidate with the trial number ``after``.
        """
        with self._transactions.reading() as connection:
            if metric is None:
                numbers = _numbers_of(connection, job_id, states, limit, after, down)
            else:
                numbers = figures.page_of(connection, job_id, metric, states, limit, after, down)
            rows = {row.number: row for row in _read(connection, Trial.job_id == job_id, Trial.number.in_(numbers))}
        return [rows[number] for number in numbers]

    def has_figures(self, job_id: str, metric: str) -> bool:
        """Returns whether a job's candidates have figures of a metric by which :meth:`page` can sort."""
        with self._transactions.reading() as connection:
            return figures.has_figures(connection, job_id, metric)

    def with_digests(self, job_id: str, digests: Collection[str]) -> list[TrialRow]:
        """Returns those of a job's candidates that have one of these digests, by trial number."""
        with self._transactions.reading() as connection:
            return _read(connection, Trial.job_id == job_id, Trial.digest.in_(digests))

    def by_state(self, job_id: str) -> dict[TrialState, int]:
        """Returns the number of a job's candidates by state."""
        with self._transactions.reading() as connection:
            return trial_counts.counts_of(connection, job_id)

    def since(self, version: JobVersion, earlier: Mapping[str, TrialRow]) -> list[TrialRow]:
        """As :meth:`of_job`, but reads only candidates that may have changed since ``version``.

        ``earlier`` are the rows by candidate id, read at that version or later.
        """
        of_job = Trial.job_id == version.job_id
        unfinished = [candidate_id for candidate_id, row in earlier.items() if not row.state.finished]
        last = max((row.number for row in earlier.values()), default=-1)
        newer = Measurement.job_id == version.job_id, Measurement.id > version.measurement
        measured = select(Measurement.candidate_id).where(*newer)
        changed = or_(
            Trial.number > last, Trial.state.in_(_UNFINISHED), Trial.candidate_id.in_(unfinished),
            Trial.candidate_id.in_(measured),
        )  # fmt: skip
        with self._transactions.reading() as connection:
            rows = {**earlier, **{row.candidate_id: row for row in _read(connection, of_job, changed)}}
            existing: Collection[str] = set(connection.execute(select(Trial.candidate_id).where(of_job)).scalars())
        return sorted((row for row in rows.values() if row.candidate_id in existing), key=lambda row: row.number)

    def get(self, id_or_prefix: str, sight: Sight = EVERYTHING) -> TrialRow:
        """Returns the candidate whose id begins with the text, or ``JOB/NUMBER``; those of jobs that are not within
        ``sight`` do not exist."""
        with self._transactions.reading() as connection:
            candidate_id = lookup.find_trial(connection, id_or_prefix, sight)
            return _read(connection, Trial.candidate_id == candidate_id)[0]

    def verdicts(self, candidate_ids: Collection[str]) -> dict[str, list[tuple[str | None, str | None]]]:
        """Returns the profile's digest and the verdict on the machine of each measurement, by candidate.

        The oldest first; candidates without a measurement are left out.
        """
        profile, verdict = Measurement.record["profile_digest"], Measurement.record["health", "verdict"]
        columns = Measurement.candidate_id, profile.as_string(), verdict.as_string()
        query = select(*columns).where(Measurement.candidate_id.in_(candidate_ids)).order_by(Measurement.id)
        verdicts: dict[str, list[tuple[str | None, str | None]]] = {}
        with self._transactions.reading() as connection:
            for row in connection.execute(query):
                verdicts.setdefault(row[0], []).append((row[1], row[2]))
        return verdicts

    def measurements(self, candidate_id: str) -> list[Json]:
        """Returns a candidate's measurements as ``{"phase", "created_at", "record"}``, the oldest first."""
        with self._transactions.reading() as connection:
            query = select(Measurement).where(Measurement.candidate_id == candidate_id).order_by(Measurement.id)
            rows = [
                {"phase": row.phase, "created_at": row.created_at.isoformat(), "record": row.record}
                for row in connection.execute(query)
            ]
            if not rows:
                lookup.require_candidate(connection, candidate_id)
        return rows


def candidate_id_of(job_id: str, digest: str, attempt: int = 0) -> str:
    """Returns the id of a job's candidate by its digest; the next ``attempt`` is for an id that another one has."""
    text = job_id + digest + (str(attempt) if attempt else "")
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _with_free_ids(connection: Connection, trials: list[TrialRow]) -> list[TrialRow]:
    """Gives trials other ids where another candidate has theirs, as happens once in two million candidates or so."""
    own = {(trial.job_id, trial.digest) for trial in trials}
    for attempt in count(1):
        ids = [trial.candidate_id for trial in trials]
        query = select(Trial.candidate_id, Trial.job_id, Trial.digest).where(Trial.candidate_id.in_(ids))
        used = {row.candidate_id for row in connection.execute(query) if (row.job_id, row.digest) not in own}
        if not used:
            break
        trials = [
            replace(trial, candidate_id=candidate_id_of(trial.job_id, trial.digest, attempt))
            if trial.candidate_id in used
            else trial
            for trial in trials
        ]
    return trials


def _change(connection: Connection, lease: Lease, candidate_id: str, state: TrialState, **values: Any) -> None:
    """Sets columns of a candidate of the lease's job; raises :class:`NotFound` if the job has no such candidate."""
    of_candidate = Trial.candidate_id == candidate_id, Trial.job_id == lease.job_id
    row = connection.execute(select(Trial.number, Trial.state).where(*of_candidate)).one_or_none()
    if row is None:
        raise lookup.no_candidate(candidate_id)
    connection.execute(update(Trial).where(*of_candidate), {"state": state, **values})
    if state is not row.state:
        trial_counts.add(connection, lease.job_id, row.state, -1)
        trial_counts.add(connection, lease.job_id, state, 1)
    if "metrics" in values or row.state.measured:
        figures.replace_figures(connection, lease.job_id, row.number, state, values.get("metrics", {}))


def _add_measurement(connection: Connection, lease: Lease, candidate_id: str, phase: str, record: Json) -> None:
    """Adds a measurement record to a candidate of the lease's job."""
    values = {
        "candidate_id": candidate_id, "phase": phase, "record": record, "created_at": utc_now(), "job_id": lease.job_id,
    }  # fmt: skip
    connection.execute(insert(Measurement), values)


def _numbers_of(
    connection: Connection, job_id: str, states: Collection[TrialState], limit: int, after: int | None, down: bool
) -> list[int]:
    """Returns the numbers of at most ``limit`` of a job's candidates in these states, in order, behind ``after``."""
    further = () if after is None else (Trial.number < after if down else Trial.number > after,)
    order = Trial.number.desc() if down else Trial.number
    numbers: list[int] = []
    for state in states:  # the index has the order within each state
        query = select(Trial.number).where(Trial.job_id == job_id, Trial.state == state, *further)
        numbers += connection.execute(query.order_by(order).limit(limit)).scalars()
    return sorted(numbers, reverse=down)[:limit]


def _read(connection: Connection, *where: ColumnElement[bool]) -> list[TrialRow]:
    """Returns the candidates that meet every condition, by trial number."""
    query = select(*_COLUMNS).where(*where).order_by(Trial.number)
    return [TrialRow(*row) for row in connection.execute(query)]
