"""The audit log in the store: who did what, from where, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select

from search.store.access_models import AuditEntry
from search.store.columns import utc_now
from search.store.transactions import Transactions


@dataclass(frozen=True)
class AuditRow:
    """Something that somebody did or was refused. Secrets are never part of it."""

    at: datetime
    user: str | None
    """None for somebody who could not say who they are."""
    token_id: str | None
    action: str
    """What it was, such as ``tokens create`` or ``POST /api/v1/jobs``."""
    object: str
    """What it was done to."""
    address: str | None
    """Where from; None for the command line."""
    outcome: str
    """``ok``, or why not: a short word, or the HTTP status."""


class Audit:
    """The store's part about the audit log; each method is a transaction. Entries are never changed."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(
        self,
        user: str | None,
        action: str,
        object: str = "",
        *,
        token_id: str | None = None,
        address: str | None = None,
        outcome: str = "ok",
    ) -> None:
        """Adds what somebody did, now."""
        with self._transactions.writing() as connection:
            connection.execute(
                insert(AuditEntry).values(
                    at=utc_now(), user_name=user, token_id=token_id, action=action[:255], object=object,
                    address=address, outcome=outcome,
                )
            )  # fmt: skip

    def count_before(self, moment: datetime) -> int:
        """Returns how many entries are older."""
        query = select(func.count()).select_from(AuditEntry).where(AuditEntry.at < moment)
        with self._transactions.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def drop_before(self, moment: datetime) -> int:
        """Removes the entries that are older; returns how many."""
        with self._transactions.writing() as connection:
            return connection.execute(delete(AuditEntry).where(AuditEntry.at < moment)).rowcount

    def newest(self, count: int, user: str | None = None) -> list[AuditRow]:
        """Returns the newest entries, of one user or of all, the newest first."""
        query = (
            select(
                AuditEntry.at, AuditEntry.user_name, AuditEntry.token_id, AuditEntry.action, AuditEntry.object,
                AuditEntry.address, AuditEntry.outcome,
            )
            .order_by(AuditEntry.id.desc())
            .limit(count)
        )  # fmt: skip
        if user is not None:
            query = query.where(AuditEntry.user_name == user)
        with self._transactions.reading() as connection:
            return [AuditRow(*row) for row in connection.execute(query)]
