"""Why queued jobs wait, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from search.states import JobState
from search.store.columns import utc_now
from search.store.models import Dependency, Job, Worker
from search.store.queue import EARLIER, READY, RUNNING, users_in_turn
from search.store.transactions import Transactions
from search.store.workers import SILENT_S


@dataclass(frozen=True)
class _Workers:
    """The workers that are online, and the jobs that they run together."""

    rows: Sequence[Any]
    """Each with its ``slots``, ``owner`` and ``refusals``."""
    running: int

    def why_not_begun(self, job_id: str, before: int) -> str:
        """Returns why a job that may begin has not begun, with ``before`` others before it."""
        if not self.rows:
            return "no worker runs; start one with: paretune worker"
        refusing = {row.owner.get("host"): row.refusals[job_id] for row in self.rows if job_id in (row.refusals or {})}
        able = [row for row in self.rows if job_id not in (row.refusals or {})]
        if not able:
            reasons = "; ".join(f"that on {host}: {reason}" for host, reason in sorted(refusing.items()))
            return f"no worker that runs can take it: {reasons}"
        busy = self.running >= sum(row.slots for row in self.rows)
        if not (busy or before or refusing):
            return "a worker takes it in a moment"
        jobs = f"{before} job is" if before == 1 else f"{before} jobs are"
        places = sum(row.slots for row in able)
        turns = f"{jobs} before it, and workers that can take it run {places} at a time"
        return f"all places of workers are busy: {turns}" if busy else f"it waits for its turn: {turns}"


class Waiting:
    """The store's part about why queued jobs wait; each method is a transaction that reads."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def reasons(self, job_ids: Collection[str]) -> dict[str, str]:
        """Returns in a sentence why each of these jobs waits, for those that are queued.

        What is true now: users take turns, so jobs that come later may begin earlier.
        """
        columns = Job.job_id, Job.submitted_by, Job.detached, Job.retry_at
        with self._transactions.reading() as connection:
            of_these = Job.job_id.in_(job_ids), Job.state == JobState.QUEUED
            rows = connection.execute(select(*columns).where(*of_these)).all()
            if not rows:
                return {}
            reasons = _own_reasons(rows) | _dependencies(connection, job_ids)
            ready = [row.job_id for row in rows if row.job_id not in reasons]
            if ready:
                workers = _workers(connection)
                before = _numbers_before(connection) if workers.rows else {}
                reasons |= {job_id: workers.why_not_begun(job_id, before.get(job_id, 0)) for job_id in ready}
        return {row.job_id: reasons[row.job_id] for row in rows}

    def earlier(self, job_id: str) -> dict[str, JobState]:
        """Returns the states of the jobs after which a job begins, by id; also once they are done."""
        query = select(EARLIER.job_id, EARLIER.state).join(Dependency, Dependency.after_job_id == EARLIER.job_id)
        with self._transactions.reading() as connection:
            rows = connection.execute(query.where(Dependency.job_id == job_id).order_by(EARLIER.job_id))
            return {row.job_id: row.state for row in rows}


def _own_reasons(rows: Sequence[Any]) -> dict[str, str]:
    """Returns why jobs wait that no worker may take now."""
    now, reasons = utc_now(), {}
    for row in rows:
        if not row.detached:
            reasons[row.job_id] = f"it was not submitted to workers; start it with: paretune resume {row.job_id}"
        elif row.retry_at is not None and row.retry_at > now:
            seconds = (row.retry_at - now).total_seconds()
            reasons[row.job_id] = f"its controller was lost; it begins again in {seconds:.0f} s"
    return reasons


def _dependencies(connection: Connection, job_ids: Collection[str]) -> dict[str, str]:
    """Returns for which other jobs these wait."""
    query = (
        select(Dependency.job_id, Dependency.after_job_id, EARLIER.state)
        .join(EARLIER, EARLIER.job_id == Dependency.after_job_id)
        .where(Dependency.job_id.in_(job_ids), EARLIER.state != JobState.DONE)
    )
    others: dict[str, list[str]] = {}
    for row in connection.execute(query.order_by(Dependency.after_job_id)):
        others.setdefault(row.job_id, []).append(f"job {row.after_job_id} ({row.state})")
    return {job_id: f"it waits for {' and '.join(names)}" for job_id, names in others.items()}


def _workers(connection: Connection) -> _Workers:
    since = utc_now() - timedelta(seconds=SILENT_S)
    query = select(Worker.slots, Worker.owner, Worker.refusals)
    rows = connection.execute(query.where(Worker.stopped_at.is_(None), Worker.seen_at >= since)).all()
    running = connection.execute(select(func.count()).select_from(Job).where(*RUNNING)).scalar_one()
    return _Workers(rows, int(running))


def _numbers_before(connection: Connection) -> Mapping[str, int]:
    """Returns how many jobs begin before each that may begin, if users take turns from now on."""
    order = Job.priority.desc(), Job.created_at, Job.job_id
    query = select(Job.submitted_by, Job.job_id).where(*READY).order_by(*order)
    queues: dict[str, list[str]] = {user: [] for user in users_in_turn(connection)}
    for user, job_id in connection.execute(query, {"now": utc_now()}):
        queues.setdefault(user, []).append(job_id)
    rounds = max(map(len, queues.values()), default=0)
    turns = (queue[number] for number in range(rounds) for queue in queues.values() if number < len(queue))
    return {job_id: place for place, job_id in enumerate(turns)}
