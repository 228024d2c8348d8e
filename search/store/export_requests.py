"""Exports that workers are asked for, leased to one worker at a time."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from hwprofiles.errors import InvalidInput, NotFound
from search.states import ExportState
from search.store import lookup
from search.store.columns import utc_now
from search.store.errors import StaleLease
from search.store.models import ExportRequest
from search.store.owner import is_dead
from search.store.rows import Json
from search.store.transactions import Transactions

LOSSES_UNTIL_FAILED = 3
"""After so many workers were lost while they held a request, it fails."""


@dataclass(frozen=True)
class ExportRow:
    """An export that was asked for, as stored. Times are in UTC."""

    export_id: str
    job_id: str
    candidate_id: str
    options: Json
    """``device``, ``target`` and ``wait_quiet_s``."""
    submitted_by: str
    state: ExportState
    doing: str | None
    """What is going on while it runs."""
    losses: int
    """Workers that were lost while they held it."""
    bundle_sha256: str | None
    """The zip file with the bundle, in the artefact store; None until it is done."""
    receipt: Json | None
    error: str | None
    hint: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class ExportLease:
    """The right to work on an export. Only the lease with the highest epoch is valid."""

    export_id: str
    epoch: int


_COLUMNS = [getattr(ExportRequest, field.name) for field in fields(ExportRow)]


class ExportRequests:
    """The store's part about exports that workers are asked for; each method is a transaction.

    One worker works on a request at a time. Whoever writes its progress or result passes its :class:`ExportLease`;
    a stale one raises :class:`StaleLease` and nothing is written. A request whose worker was lost is taken again.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, candidate_id: str, options: Json, submitted_by: str, key: str | None = None) -> str:
        """Queues an export and returns its id; a user's second one with the same ``key`` is the first one.

        Raises :class:`NotFound` for a candidate that does not exist, :class:`InvalidInput` if the first one differs.
        """
        with self._transactions.writing() as connection:
            job_id = lookup.job_of(connection, candidate_id)
            if key is not None:
                columns = ExportRequest.export_id, ExportRequest.candidate_id, ExportRequest.options
                of_key = ExportRequest.submitted_by == submitted_by, ExportRequest.idempotency_key == key
                earlier = connection.execute(select(*columns).where(*of_key)).one_or_none()
                if earlier is not None and (earlier.candidate_id, earlier.options) != (candidate_id, options):
                    raise InvalidInput(
                        f"Idempotency-Key: {key!r} was used for another export, {earlier.export_id}",
                        "make a new key for each new export",
                    )
                if earlier is not None:
                    return str(earlier.export_id)
            export_id = secrets.token_hex(6)
            connection.execute(
                insert(ExportRequest).values(
                    export_id=export_id, job_id=job_id, candidate_id=candidate_id, options=options,
                    submitted_by=submitted_by, idempotency_key=key, state=ExportState.QUEUED, epoch=0, losses=0,
                    created_at=utc_now(),
                )
            )  # fmt: skip
        return export_id

    def get(self, export_id: str) -> ExportRow:
        """Returns an export by its whole id."""
        with self._transactions.reading() as connection:
            row = connection.execute(select(*_COLUMNS).where(ExportRequest.export_id == export_id)).one_or_none()
        if row is None:
            raise no_export(export_id)
        return ExportRow(*row)

    def of_job(self, job_id: str) -> list[ExportRow]:
        """Returns the exports of a job's candidates, the newest first."""
        with self._transactions.reading() as connection:
            query = select(*_COLUMNS).where(ExportRequest.job_id == job_id)
            rows = connection.execute(query.order_by(ExportRequest.created_at.desc(), ExportRequest.export_id))
            return [ExportRow(*row) for row in rows]

    def is_open(self) -> bool:
        """Returns whether an export is queued or runs; much cheaper than :meth:`take`."""
        open_states = ExportRequest.state.in_([state for state in ExportState if not state.ended])
        with self._transactions.reading() as connection:
            return connection.execute(select(ExportRequest.export_id).where(open_states).limit(1)).first() is not None

    def take(
        self, owner: Json, can_run: Callable[[ExportRow], bool] = lambda row: True, lease_s: float = 60.0
    ) -> tuple[ExportRow, ExportLease] | None:
        """Leases the oldest export that ``can_run`` accepts to a worker; None if there is none.

        ``owner`` is the worker's process. First returns exports whose workers were lost.
        """
        with self._transactions.writing() as connection:
            _return_lost(connection)
            query = select(*_COLUMNS).where(ExportRequest.state == ExportState.QUEUED)
            order = ExportRequest.created_at, ExportRequest.export_id
            for row in connection.execute(query.order_by(*order)).all():
                export = ExportRow(*row)
                if can_run(export):
                    values = {"state": ExportState.RUNNING, "lease_owner": owner, "epoch": ExportRequest.epoch + 1}
                    until = utc_now() + timedelta(seconds=lease_s)
                    queued = ExportRequest.export_id == export.export_id, ExportRequest.state == ExportState.QUEUED
                    change = update(ExportRequest).where(*queued).values(values | {"lease_until": until})
                    if connection.execute(change).rowcount:
                        epoch = select(ExportRequest.epoch).where(ExportRequest.export_id == export.export_id)
                        return export, ExportLease(export.export_id, connection.execute(epoch).scalar_one())
        return None

    def renew(self, lease: ExportLease, owner: Json, doing: str, lease_s: float = 60.0) -> None:
        """Extends a lease, which ``owner`` holds from now on, and stores what is going on."""
        until = utc_now() + timedelta(seconds=lease_s)
        self._change(lease, lease_owner=owner, lease_until=until, doing=doing)

    def release(self, lease: ExportLease) -> None:
        """Returns an export to the queue."""
        self._change(lease, state=ExportState.QUEUED, lease_owner=None, lease_until=None, doing=None)

    def finish(self, lease: ExportLease, bundle_sha256: str, receipt: Json) -> None:
        """Stores where the bundle of an export is, and its receipt."""
        self._end(lease, ExportState.DONE, bundle_sha256=bundle_sha256, receipt=receipt)

    def fail(self, lease: ExportLease, error: str, hint: str) -> None:
        """Stores why an export cannot be made."""
        self._end(lease, ExportState.FAILED, error=error, hint=hint)

    def cancel(self, export_id: str) -> None:
        """Ends an export that is queued or runs; whoever works on it has no lease any more.

        Changes nothing the second time. Raises :class:`InvalidInput` for one that is done or has failed.
        """
        values = {"state": ExportState.CANCELLED, **_ended()}
        unfinished = ExportRequest.state.in_([state for state in ExportState if not state.ended])
        with self._transactions.writing() as connection:
            change = update(ExportRequest).where(ExportRequest.export_id == export_id, unfinished)
            if connection.execute(change.values(values)).rowcount:
                return
        state = self.get(export_id).state
        if state is not ExportState.CANCELLED:
            raise InvalidInput(f"export {export_id} is {state} already", "there is nothing left to cancel")

    def _end(self, lease: ExportLease, state: ExportState, **values: Any) -> None:
        self._change(lease, state=state, **_ended(), **values)

    def _change(self, lease: ExportLease, **values: Any) -> None:
        valid = (
            ExportRequest.export_id == lease.export_id, ExportRequest.epoch == lease.epoch,
            ExportRequest.state == ExportState.RUNNING,
        )  # fmt: skip
        with self._transactions.writing() as connection:
            if not connection.execute(update(ExportRequest).where(*valid).values(values)).rowcount:
                raise StaleLease(
                    f"export {lease.export_id} is not this worker's any more", "it was cancelled, or another one has it"
                )


def _ended() -> Json:
    """Returns the values of an export that nobody works on any more."""
    return {"finished_at": utc_now(), "lease_owner": None, "lease_until": None, "doing": None}


def no_export(export_id: str) -> NotFound:
    """Returns the error for an export that does not exist."""
    return NotFound(f"there is no export {export_id!r}", "ask for one with: paretune export CANDIDATE -o DIR")


def _return_lost(connection: Connection) -> None:
    """Queues exports whose workers were lost; one that has lost several fails."""
    now = utc_now()
    columns = ExportRequest.export_id, ExportRequest.losses, ExportRequest.lease_owner, ExportRequest.lease_until
    running = select(*columns).where(ExportRequest.state == ExportState.RUNNING)
    for row in connection.execute(running.with_for_update(skip_locked=True)).all():
        if row.lease_until is not None and row.lease_until > now and not is_dead(row.lease_owner):
            continue
        values: Json = {"lease_owner": None, "lease_until": None, "doing": None, "losses": row.losses + 1}
        if row.losses + 1 >= LOSSES_UNTIL_FAILED:
            error = f"{LOSSES_UNTIL_FAILED} workers were lost while they worked on it"
            hint = "look into their logs, then ask for it again"
            values |= {"state": ExportState.FAILED, "error": error, "hint": hint, "finished_at": now}
        else:
            values |= {"state": ExportState.QUEUED}
        connection.execute(update(ExportRequest).where(ExportRequest.export_id == row.export_id).values(values))
