"""Exports of candidates in the store."""

from __future__ import annotations

from sqlalchemy import insert, select

from search.store import lookup
from search.store.columns import utc_now
from search.store.models import Export
from search.store.rows import Json
from search.store.transactions import Transactions


class Exports:
    """The store's part about exports; each method is a transaction.

    Exports are only added. That needs no lease, since a job that is over, or under way, stays as it is. A candidate
    that does not exist raises :class:`hwprofiles.errors.NotFound`.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, candidate_id: str, folder: str, verdict: str, receipt: Json) -> None:
        """Stores that a candidate was exported to ``folder``, with the receipt and its verdict."""
        with self._transactions.writing() as connection:
            lookup.require_candidate(connection, candidate_id)
            connection.execute(
                insert(Export).values(
                    candidate_id=candidate_id, folder=folder, verdict=verdict, receipt=receipt, created_at=utc_now()
                )
            )

    def of_candidate(self, candidate_id: str) -> list[Json]:
        """Returns a candidate's exports as ``{"folder", "verdict", "created_at", "receipt"}``, the oldest first."""
        with self._transactions.reading() as connection:
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
