"""Lines of jobs' logs in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select

from search.store import lookup
from search.store.columns import utc_now
from search.store.models import LogLine
from search.store.rows import Lease
from search.store.transactions import Transactions


@dataclass(frozen=True)
class LogRow:
    """A line of a job's log."""

    id: int
    """Grows from line to line."""
    at: datetime
    level: str
    """``info``, ``warning`` or ``error``."""
    text: str
    candidate_id: str | None


class Logs:
    """The store's part about jobs' logs; each method is a transaction.

    Lines are only added, by the holder of the job's :class:`Lease`; a stale one raises :class:`StaleLease`.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, lease: Lease, text: str, level: str = "info", candidate_id: str | None = None) -> None:
        """Adds a line to the log of the lease's job."""
        row = {"job_id": lease.job_id, "at": utc_now(), "level": level, "text": text, "candidate_id": candidate_id}
        with self._transactions.holding(lease) as connection:
            connection.execute(insert(LogLine), row)

    def last(self, job_id: str) -> int:
        """Returns the id of the last line of a job's log; 0 without one."""
        with self._transactions.reading() as connection:
            query = select(func.max(LogLine.id)).where(LogLine.job_id == job_id)
            return connection.execute(query).scalar_one() or 0

    def of_job(self, job_id: str, after: int = 0, limit: int = 1000) -> Sequence[LogRow]:
        """Returns at most ``limit`` lines of a job's log, those after the line with id ``after``."""
        columns = LogLine.id, LogLine.at, LogLine.level, LogLine.text, LogLine.candidate_id
        query = select(*columns).where(LogLine.job_id == job_id, LogLine.id > after).order_by(LogLine.id).limit(limit)
        with self._transactions.reading() as connection:
            rows = [LogRow(*row) for row in connection.execute(query)]
            if not rows:
                lookup.require_job(connection, job_id)
        return rows
