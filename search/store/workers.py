"""Workers in the store."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from search.store.columns import utc_now
from search.store.models import Worker
from search.store.rows import Json
from search.store.transactions import Transactions

SILENT_S = 60.0
"""A worker that was silent for longer counts as lost."""

KEPT_S = 7 * 86400.0
"""Seconds for which a worker that is gone stays listed."""


@dataclass(frozen=True)
class WorkerRow:
    """A worker as stored. Times are in UTC."""

    worker_id: str
    owner: Json
    """Its process, as :func:`search.store.this_process` returns it."""
    slots: int
    """Jobs that it runs at a time."""
    started_at: datetime
    seen_at: datetime
    stopped_at: datetime | None
    refusals: Json | None
    """Why it leaves queued jobs to others, by their ids."""

    @property
    def online(self) -> bool:
        """Whether the worker was heard from within :data:`SILENT_S`, and has not stopped."""
        return self.stopped_at is None and (utc_now() - self.seen_at).total_seconds() <= SILENT_S


class Workers:
    """The store's part about workers; each method is a transaction. A worker writes its own row only."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, owner: Json, slots: int) -> str:
        """Stores a worker that starts, and returns its new id; forgets those that are gone for long."""
        now, worker_id = utc_now(), secrets.token_hex(4)
        row = {"worker_id": worker_id, "owner": owner, "slots": slots, "started_at": now, "seen_at": now}
        with self._transactions.writing() as connection:
            connection.execute(delete(Worker).where(Worker.seen_at < now - timedelta(seconds=KEPT_S)))
            connection.execute(insert(Worker), row)
        return worker_id

    def note_contact(self, worker_id: str, refusals: Mapping[str, str] = {}) -> None:
        """Stores that a worker is alive now, and why it leaves queued jobs to others, by their ids."""
        self._change(worker_id, seen_at=utc_now(), refusals=dict(refusals) or None)

    def stop(self, worker_id: str) -> None:
        """Stores that a worker has stopped."""
        self._change(worker_id, stopped_at=utc_now())

    def all(self) -> list[WorkerRow]:
        """Returns all workers, the newest first."""
        columns = (
            Worker.worker_id, Worker.owner, Worker.slots, Worker.started_at, Worker.seen_at, Worker.stopped_at,
            Worker.refusals,
        )  # fmt: skip
        with self._transactions.reading() as connection:
            query = select(*columns).order_by(Worker.started_at.desc(), Worker.worker_id)
            return [WorkerRow(*row) for row in connection.execute(query)]

    def _change(self, worker_id: str, **values: datetime | Json | None) -> None:
        with self._transactions.writing() as connection:
            connection.execute(update(Worker).where(Worker.worker_id == worker_id), values)
