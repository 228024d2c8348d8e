"""Versions of jobs' fronts in the store."""

from __future__ import annotations

from sqlalchemy import func, insert, select

from search.store import lookup
from search.store.columns import utc_now
from search.store.models import Front
from search.store.rows import Json, Lease
from search.store.transactions import Transactions


class FrontVersions:
    """The store's part about fronts; each method is a transaction.

    Versions are only added, counted from 1 without gaps. Adding needs the job's :class:`Lease`, and raises
    :class:`StaleLease` unless it has the job's highest epoch and was not released.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, lease: Lease, front: Json) -> int:
        """Stores a new version of a job's front; returns its number, counted from 1."""
        with self._transactions.holding(lease) as connection:
            last = select(func.coalesce(func.max(Front.version), 0)).where(Front.job_id == lease.job_id)
            version = int(connection.execute(last).scalar_one()) + 1
            connection.execute(
                insert(Front).values(job_id=lease.job_id, version=version, front=front, created_at=utc_now())
            )
        return version

    def get(self, job_id: str, version: int | None = None) -> Json | None:
        """Returns a job's front as stored: the given ``version``, else the newest; None if there is none."""
        with self._transactions.reading() as connection:
            query = select(Front.front).where(Front.job_id == job_id).order_by(Front.version.desc()).limit(1)
            if version is not None:
                query = query.where(Front.version == version)
            front = connection.execute(query).scalar_one_or_none()
            if front is None:
                lookup.require_job(connection, job_id)
        return front
