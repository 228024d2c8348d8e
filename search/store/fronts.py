"""Versions of fronts, and exports."""

from __future__ import annotations

from sqlalchemy import func, insert, select

from search.store import lookup
from search.store.columns import utc_now
from search.store.models import Export, Front
from search.store.rows import Json, Lease
from search.store.transactions import Transactions


class FrontRecords(Transactions):
    """The store's part about fronts and exports."""

    def add_front(self, lease: Lease, front: Json) -> int:
        """Stores a new version of a job's front; returns its number, counted from 1."""
        with self._holding(lease) as connection:
            last = select(func.coalesce(func.max(Front.version), 0)).where(Front.job_id == lease.job_id)
            version = int(connection.execute(last).scalar_one()) + 1
            connection.execute(
                insert(Front).values(job_id=lease.job_id, version=version, front=front, created_at=utc_now())
            )
        return version

    def front(self, job_id: str, version: int | None = None) -> Json | None:
        """A job's front as stored: the given ``version``, else the newest; None if there is none."""
        with self._reading() as connection:
            query = select(Front.front).where(Front.job_id == job_id).order_by(Front.version.desc()).limit(1)
            if version is not None:
                query = query.where(Front.version == version)
            front = connection.execute(query).scalar_one_or_none()
            if front is None:
                lookup.require_job(connection, job_id)
        return front

    def add_export(self, candidate_id: str, folder: str, verdict: str, receipt: Json) -> None:
        """Stores that a candidate was exported to ``folder``, with the receipt and its verdict."""
        with self._writing() as connection:
            lookup.require_candidate(connection, candidate_id)
            connection.execute(
                insert(Export).values(
                    candidate_id=candidate_id, folder=folder, verdict=verdict, receipt=receipt, created_at=utc_now()
                )
            )

    def exports(self, candidate_id: str) -> list[Json]:
        """A candidate's exports as ``{"folder", "verdict", "created_at", "receipt"}``, the oldest first."""
        with self._reading() as connection:
            query = select(Export).where(Export.candidate_id == candidate_id).order_by(Export.id)
            rows = [
                {
                    "folder": row.folder,
                    "verdict": row.verdict,
                    "created_at": row.created_at.isoformat(),
                    "receipt": row.receipt,
                }
                for row in connection.execute(query)
            ]
            if not rows:
                lookup.require_candidate(connection, candidate_id)
        return rows
