"""The queue of jobs: which job a worker runs next, and what users ask of jobs in it.

Workers are shared fairly: the next job belongs to the user with the fewest running jobs, among equals to the one whose
jobs ran for the least time (time used an hour ago counts half). Of a user's jobs the one with the highest priority
comes first, then the oldest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select, update
from sqlalchemy.orm import aliased

from hwprofiles.errors import InvalidInput
from search.states import JobRequest, JobState
from search.store import lookup, trial_counts
from search.store.columns import utc_now
from search.store.models import Dependency, Job
from search.store.owner import is_dead
from search.store.rows import JobRow, Json, Lease
from search.store.transactions import Transactions
from search.store.usage import usage_of

LOSSES_UNTIL_FAILED, LOSING_S_UNTIL_FAILED = 5, 600.0
"""After so many controllers in a row were lost without a finished candidate in between, and so many seconds since the
first of them, the job fails: it is not to end because a machine was unwell for a few minutes."""

RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
"""Wait before a job whose controller was lost begins again: doubled with each loss in a row."""

STARTING_S = 120.0
"""Seconds that a controller may take to start."""

_AT_A_TIME = 20
"""Jobs of a user that are read at a time."""

_COLUMNS = [getattr(Job, field.name) for field in fields(JobRow)]
_OVER = (JobState.FAILED, JobState.CANCELLED)

# Statements are made once: with thousands of queued jobs, making them takes longer than executing them.
EARLIER = aliased(Job)
_WAITING = (
    select(Dependency.job_id)
    .join(EARLIER, EARLIER.job_id == Dependency.after_job_id)
    .where(EARLIER.state != JobState.DONE)
)
READY = (
    Job.state == JobState.QUEUED,
    Job.detached.is_(True),
    or_(Job.retry_at.is_(None), Job.retry_at <= bindparam("now")),
    Job.job_id.not_in(_WAITING),
)
_READY_USERS = select(Job.submitted_by).where(*READY).distinct()
_READY_JOBS = (
    select(*_COLUMNS)
    .where(*READY, Job.submitted_by == bindparam("user"))
    .order_by(Job.priority.desc(), Job.created_at, Job.job_id)
    .limit(_AT_A_TIME)
    .offset(bindparam("offset"))
)
RUNNING = Job.state == JobState.RUNNING, Job.detached.is_(True)
_BUSY_USERS = select(Job.submitted_by, func.count().label("jobs")).where(*RUNNING).group_by(Job.submitted_by)
_LEASES = select(Job.job_id, Job.lease_owner, Job.lease_until, Job.epoch, Job.requested).where(*RUNNING)
_LOSSES = select(Job.losses, Job.finished_at_loss, Job.lost_since)
_HOPELESS = (
    select(Dependency.job_id, Dependency.after_job_id, EARLIER.state)
    .join(Job, Job.job_id == Dependency.job_id)
    .join(EARLIER, EARLIER.job_id == Dependency.after_job_id)
    .where(Job.state == JobState.QUEUED, EARLIER.state.in_(_OVER))
)


class Queue:
    """The store's part about the queue of detached jobs; each method is a transaction.

    Every job is taken by one worker at a time, also if several ask at once. A job whose controller was lost returns to
    the queue.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def take(self, owner: Json, can_run: Callable[[JobRow], bool] = lambda job: True) -> tuple[JobRow, Lease] | None:
        """Leases the next job that ``can_run`` accepts to a worker, as running; None if there is none.

        ``owner`` is the worker's process. The lease holds for :data:`STARTING_S`; the controller adopts and renews it.
        First returns jobs to the queue whose controllers were lost, and ends those that wait for a job in vain.
        """
        with self._transactions.writing() as connection:
            _return_lost(connection)
            _end_hopeless(connection)
            for user in users_in_turn(connection):
                for row in _jobs_of(connection, user):
                    if can_run(row) and (lease := _lease(connection, row.job_id, owner)) is not None:
                        return row, lease
        return None

    def return_lost(self, ended: Collection[Lease] = ()) -> None:
        """Returns jobs to the queue whose controllers were lost, or ends them as was asked for.

        The caller knows that the controllers with the leases in ``ended`` have ended. A transaction of its own: it may
        lock many jobs, and one that then waited for another might wait for ever.
        """
        with self._transactions.writing() as connection:
            _return_lost(connection, ended)

    def ask(self, job_id: str, request: JobRequest) -> JobState:
        """Asks to pause or cancel a job, and returns its state: still ``running`` while its controller ends.

        A job that nobody runs is paused or cancelled at once. Raises :class:`InvalidInput` for one that has ended.
        """
        self.return_lost()
        with self._transactions.writing() as connection:
            columns = Job.state, Job.lease_owner, Job.lease_until, Job.requested
            row = connection.execute(select(*columns).where(Job.job_id == job_id).with_for_update()).one_or_none()
            if row is None:
                raise lookup.no_job(job_id)
            wanted = request.state
            if row.state is wanted:
                return request.state
            if row.state in (JobState.DONE, *_OVER) or (row.state.ended and request is JobRequest.PAUSE):
                raise InvalidInput(f"job {job_id} is {row.state} already", f"look at it with: paretune status {job_id}")
            if row.state is JobState.RUNNING and not _is_lost(row.lease_owner, row.lease_until, utc_now()):
                if row.requested is not JobRequest.CANCEL:
                    _change(connection, job_id, requested=request)
                return JobState.RUNNING
            _change(connection, job_id, state=wanted, **_released(wanted))
        return request.state

    def resume(self, job_id: str) -> None:
        """Queues a job again that has ended without being done; what is finished stays.

        A job that is done is queued for what is left to measure. Raises :class:`InvalidInput` for one that is queued
        or runs.
        """
        self.return_lost()
        with self._transactions.writing() as connection:
            columns = Job.state, Job.lease_owner, Job.lease_until
            row = connection.execute(select(*columns).where(Job.job_id == job_id).with_for_update()).one_or_none()
            if row is None:
                raise lookup.no_job(job_id)
            lost = row.state is JobState.RUNNING and _is_lost(row.lease_owner, row.lease_until, utc_now())
            if not (row.state.ended or lost):
                raise InvalidInput(f"job {job_id} is {row.state}", f"follow it with: paretune status {job_id}")
            _change(
                connection, job_id, state=JobState.QUEUED, detached=True, losses=0, lost_since=None, error=None,
                hint=None, **_released(JobState.QUEUED),
            )  # fmt: skip

    def length(self) -> int:
        """Returns how many detached jobs are queued."""
        with self._transactions.reading() as connection:
            query = select(func.count()).select_from(Job).where(Job.state == JobState.QUEUED, Job.detached)
            return int(connection.execute(query).scalar_one())


def users_in_turn(connection: Connection) -> Sequence[str]:
    """Returns the users with a job that may begin, the one whose turn it is first."""
    waiting = connection.execute(_READY_USERS, {"now": utc_now()}).scalars().all()
    busy = {row.submitted_by: row.jobs for row in connection.execute(_BUSY_USERS)}
    used = usage_of(connection)
    return sorted(waiting, key=lambda user: (busy.get(user, 0), used.get(user, 0.0), user))


def _jobs_of(connection: Connection, user: str) -> Iterator[JobRow]:
    """Yields the jobs of a user that may begin, in their order."""
    for offset in count(0, _AT_A_TIME):
        values = {"now": utc_now(), "user": user, "offset": offset}
        rows = connection.execute(_READY_JOBS, values).all()
        yield from (JobRow(*row) for row in rows)
        if len(rows) < _AT_A_TIME:
            return


def _lease(connection: Connection, job_id: str, owner: Json) -> Lease | None:
    """Leases a job unless another worker has taken it meanwhile."""
    query = select(Job.epoch).where(Job.job_id == job_id, Job.state == JobState.QUEUED)
    epoch = connection.execute(query.with_for_update(skip_locked=True)).scalar_one_or_none()
    if epoch is None:
        return None
    now = utc_now()
    _change(
        connection, job_id, state=JobState.RUNNING, epoch=epoch + 1, lease_owner=owner, requested=None,
        lease_until=now + timedelta(seconds=STARTING_S), started_at=func.coalesce(Job.started_at, now),
        finished_at=None, error=None, hint=None,
    )  # fmt: skip
    return Lease(job_id, epoch + 1)


def _return_lost(connection: Connection, ended: Collection[Lease] = ()) -> None:
    now, epochs = utc_now(), {lease.job_id: lease.epoch for lease in ended}

    def lost(row: Any) -> bool:
        return epochs.get(row.job_id) == row.epoch or _is_lost(row.lease_owner, row.lease_until, now)

    for job_id in [row.job_id for row in connection.execute(_LEASES).all() if lost(row)]:
        of_job = Job.job_id == job_id
        row = connection.execute(_LEASES.where(of_job).with_for_update(skip_locked=True)).one_or_none()
        if row is None or not lost(row):
            continue
        finished, before = _finished_trials(connection, job_id), connection.execute(_LOSSES.where(of_job)).one()
        again = finished <= before.finished_at_loss and before.lost_since is not None
        losses, since = (before.losses + 1, before.lost_since) if again else (1, now)
        wanted = JobState.QUEUED if row.requested is None else row.requested.state
        values: Json = {"losses": losses, "finished_at_loss": finished, "lost_since": since, "epoch": row.epoch + 1}
        is_over = losses >= LOSSES_UNTIL_FAILED and (now - since).total_seconds() >= LOSING_S_UNTIL_FAILED
        if wanted is JobState.QUEUED and is_over:
            wanted = JobState.FAILED
            values |= {
                "error": f"its controller was lost {losses} times in a row without finishing a candidate",
                "hint": f"see the log of its worker, then: paretune resume {row.job_id}",
            }
        values |= _released(wanted)
        if wanted is JobState.QUEUED:
            values["retry_at"] = now + timedelta(seconds=min(RETRY_S * 2 ** (losses - 1), LONGEST_RETRY_S))
        _change(connection, row.job_id, state=wanted, **values)


def _end_hopeless(connection: Connection) -> None:
    """Fails jobs that wait for one that has failed or was cancelled."""
    for job_id, other, state in connection.execute(_HOPELESS).all():
        _change(
            connection, job_id, state=JobState.FAILED, error=f"job {other}, which it waits for, is {state}",
            hint=f"resume that one, then this one: paretune resume {other}; paretune resume {job_id}",
            finished_at=utc_now(),
        )  # fmt: skip


def _finished_trials(connection: Connection, job_id: str) -> int:
    return sum(count for state, count in trial_counts.counts_of(connection, job_id).items() if state.finished)


def _is_lost(owner: Json | None, until: datetime | None, now: datetime) -> bool:
    return owner is None or until is None or until <= now or is_dead(owner)


def _released(state: JobState) -> Json:
    """Returns the values of a job that nobody runs any more."""
    ended = {"finished_at": utc_now()} if state.ended else {}
    return {"lease_owner": None, "lease_until": None, "requested": None, "progress": None, "retry_at": None} | ended


def _change(connection: Connection, job_id: str, **values: Any) -> None:
    connection.execute(update(Job).where(Job.job_id == job_id).values(**values))
