"""Measurement requests to remote devices in the store, leased to their agents one at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, or_, select, update

from hwprofiles import Profile
from hwprofiles.errors import NotFound, ParetuneError
from search.states import RequestState
from search.store import agents, statements
from search.store.columns import utc_now
from search.store.models import Request
from search.store.rows import Json
from search.store.transactions import Transactions

LEASE_S = 30.0
DEATHS_UNTIL_CRASHED = 3
"""After so many agents were lost while they held a request, the request is held responsible."""

_BAR = "|"
_OPEN = (RequestState.QUEUED, RequestState.LEASED)
_AGAIN = (RequestState.CANCELLED, RequestState.REFUSED)


class StaleRequest(ParetuneError):
    """Raised for a lease of a request that is not the newest: nothing was written."""


@dataclass(frozen=True)
class RequestRow:
    """A measurement request as stored."""

    errand_id: str
    device: str
    profile_digest: str
    request: Json
    """The content as JSON-able data, see :mod:`evaluators.devices.request`."""
    state: RequestState
    epoch: int
    """Number of its leases."""
    deaths: int
    """Agents that were lost while they held it."""
    result: Json | None
    """The agent's answer, None until then."""
    tried: str = ""
    """The boards that could not answer it, each between bars."""


_COLUMNS = [getattr(Request, field.name) for field in fields(RequestRow)]


class Requests:
    """The store's part about measurement requests; each method is a transaction.

    A job enqueues a request and polls it until it has ended; agents lease, renew and finish it. Each board of a device
    holds one request at a time. Only the newest lease (by epoch) may write, so that an agent that was given up writes
    nothing. An expired lease that nobody took may still finish.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    # The job's side

    def enqueue(self, errand_id: str, profile: Profile, request: Json) -> None:
        """Queues a request for the device of ``profile``, unless it is queued, leased or has a result already.

        The id is derived from the content. A request that was cancelled or refused is queued again.
        """
        with self._transactions.writing() as connection:
            state = connection.execute(select(Request.state).where(Request.errand_id == errand_id)).scalar_one_or_none()
            if state is None:
                statements.register(connection, profile)
                statements.insert_if_absent(
                    connection, Request, errand_id=errand_id, device=profile.device, profile_digest=profile.digest,
                    request=request, state=RequestState.QUEUED, epoch=0, deaths=0, created_at=utc_now(),
                )  # fmt: skip
            elif state in _AGAIN:
                _change(
                    connection, errand_id, state=RequestState.QUEUED, deaths=0, tried="", result=None, finished_at=None,
                    created_at=utc_now(),
                )  # fmt: skip

    def get(self, errand_id: str) -> RequestRow:
        """Returns a request as stored; raises :class:`NotFound`."""
        with self._transactions.reading() as connection:
            columns = connection.execute(select(*_COLUMNS).where(Request.errand_id == errand_id)).one_or_none()
        if columns is None:
            raise NotFound(f"there is no measurement request {errand_id!r}", "resume the job with: paretune resume JOB")
        return RequestRow(*columns)

    def result(self, errand_id: str) -> Json | None:
        """Returns the result of a request; None if it has none yet, or is not in the store."""
        with self._transactions.reading() as connection:
            query = select(Request.result).where(Request.errand_id == errand_id)
            return connection.execute(query).scalar_one_or_none()

    def cancel(self, errand_id: str) -> None:
        """Cancels a request that nobody waits for any more; one that has ended stays as it is."""
        with self._transactions.writing() as connection:
            conditions = Request.errand_id == errand_id, Request.state.in_(_OPEN)
            values = {"state": RequestState.CANCELLED, "lease_until": None, "holder": None, "finished_at": utc_now()}
            connection.execute(update(Request).where(*conditions), values)

    def files(self) -> set[str]:
        """SHA-256 of every file that an open request needs."""
        with self._transactions.reading() as connection:
            requests = connection.execute(select(Request.request).where(Request.state.in_(_OPEN))).scalars()
            return {sha256 for request in requests for sha256 in _files_of(request)}

    def forget(self, older_than_s: float) -> None:
        """Removes requests that ended so long ago, and open ones so old that no agent has held since.

        Results stay: they are in the jobs by then.
        """
        before = utc_now() - timedelta(seconds=older_than_s)
        idle = or_(Request.lease_until.is_(None), Request.lease_until < before)
        waited = Request.state.in_(_OPEN) & (Request.created_at < before) & idle
        with self._transactions.writing() as connection:
            connection.execute(delete(Request).where(or_(Request.finished_at < before, waited)))

    # The agent's side

    def lease(self, device: str, instance: str, lease_s: float = LEASE_S) -> RequestRow | None:
        """Leases the oldest open request to the agent of one of a device's boards; None if there is none.

        Returns a request that this agent holds already again: the response was lost on the way. A request whose agent
        was lost counts a death, and fails as ``crashed`` after :data:`DEATHS_UNTIL_CRASHED`. A request that this board
        could not answer is left to the others that are online. Raises :class:`search.store.agents.AgentReplaced` for an
        agent that is not its board's newest.
        """
        with self._transactions.writing() as connection:
            board = _check_agent(connection, device, instance)
            while True:
                now = utc_now()
                match = _oldest_free(connection, device, board, instance, now)
                if match is None:
                    return None
                row, holder = match
                deaths = row.deaths + (row.state is RequestState.LEASED and holder != instance)
                if deaths >= DEATHS_UNTIL_CRASHED:
                    _change(
                        connection, row.errand_id, state=RequestState.FAILED, deaths=deaths, holder=None,
                        lease_until=None, result=_crash_result(deaths), finished_at=now,
                    )  # fmt: skip
                    continue
                _change(
                    connection, row.errand_id, state=RequestState.LEASED, epoch=row.epoch + 1, deaths=deaths,
                    holder=instance, lease_until=now + timedelta(seconds=lease_s),
                )  # fmt: skip
                return RequestRow(
                    *connection.execute(select(*_COLUMNS).where(Request.errand_id == row.errand_id)).one()
                )

    def renew(self, device: str, instance: str, errand_id: str, epoch: int, lease_s: float = LEASE_S) -> bool:
        """Extends a lease to ``lease_s`` seconds from now; False if nobody waits for the request any more.

        Raises :class:`StaleRequest` for a lease that is not the newest, and as :meth:`lease` does.
        """
        with self._transactions.writing() as connection:
            _check_agent(connection, device, instance)
            row = _require_lease(connection, device, errand_id, epoch)
            if row.state is not RequestState.LEASED:
                return False
            _change(connection, errand_id, lease_until=utc_now() + timedelta(seconds=lease_s))
        return True

    def finish(
        self, device: str, instance: str, errand_id: str, epoch: int, state: RequestState, result: Json,
        *, elsewhere: bool = False,
    ) -> None:  # fmt: skip
        """Stores the result of a request. Idempotent; raises as :meth:`renew` does, and for a cancelled request.

        ``elsewhere`` tells that another board may answer otherwise: the request returns to the queue if one is online
        that has not tried it.
        """
        with self._transactions.writing() as connection:
            board = _check_agent(connection, device, instance)
            row = _require_lease(connection, device, errand_id, epoch)
            if row.state is not RequestState.LEASED:
                if row.state is not state:
                    raise _stale(errand_id)
                return
            tried = f"{row.tried or _BAR}{board}{_BAR}"
            if elsewhere and _untried(connection, device, tried):
                _change(
                    connection, errand_id, state=RequestState.QUEUED, tried=tried, holder=None, lease_until=None
                )  # fmt: skip
                return
            _change(
                connection, errand_id, state=state, result=result, holder=None, lease_until=None, finished_at=utc_now()
            )

    def release(self, device: str, instance: str, errand_id: str, epoch: int) -> None:
        """Returns a request to the queue without counting a death; raises as :meth:`renew` does."""
        with self._transactions.writing() as connection:
            _check_agent(connection, device, instance)
            if _require_lease(connection, device, errand_id, epoch).state is RequestState.LEASED:
                _change(connection, errand_id, state=RequestState.QUEUED, holder=None, lease_until=None)

    def files_of_lease(self, device: str, errand_id: str) -> Collection[str]:
        """SHA-256 of the files that a device may fetch for a request; none unless it holds the lease."""
        with self._transactions.reading() as connection:
            held = Request.errand_id == errand_id, Request.device == device, Request.state == RequestState.LEASED
            request = connection.execute(select(Request.request).where(*held)).scalar_one_or_none()
        return frozenset() if request is None else _files_of(request)


def _check_agent(connection: Connection, device: str, instance: str) -> str:
    """Notes the contact of an agent, and returns its board; raises :class:`search.store.agents.AgentReplaced`."""
    board = agents.note_contact(connection, device, instance)
    if board is None:
        raise agents.replacement_error(device)
    return board


def _oldest_free(
    connection: Connection, device: str, board: str, instance: str, now: datetime
) -> tuple[RequestRow, str | None] | None:
    """Returns the request that a board is to answer next, and its holder: what its agent holds, else the oldest free
    one that it has not tried, else one that no other board is left for."""
    free = or_(
        Request.state == RequestState.QUEUED,
        (Request.state == RequestState.LEASED) & or_(Request.holder == instance, Request.lease_until <= now),
    )
    tried = Request.tried.contains(_key(board), autoescape=True)
    query = (
        select(*_COLUMNS, Request.holder)
        .where(Request.device == device, free)
        .order_by(Request.state != RequestState.LEASED, Request.created_at, Request.errand_id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    match = connection.execute(query.where(~tried)).one_or_none()
    if match is None:
        match = connection.execute(query.where(tried)).one_or_none()
        if match is not None and any(
            _key(other) not in match.tried for other in agents.online_boards(connection, device)
        ):
            return None
    if match is None:
        return None
    *columns, holder = match
    return RequestRow(*columns), holder


def _untried(connection: Connection, device: str, tried: str) -> bool:
    """Returns whether a board of the device is online that is not among those named in ``tried``."""
    return any(_key(board) not in tried for board in agents.online_boards(connection, device))


def _key(board: str) -> str:
    """Returns how a board is named in ``tried``."""
    return f"{_BAR}{board}{_BAR}"


def _require_lease(connection: Connection, device: str, errand_id: str, epoch: int) -> RequestRow:
    query = select(*_COLUMNS).where(Request.errand_id == errand_id, Request.device == device).with_for_update()
    columns = connection.execute(query).one_or_none()
    if columns is None or columns.epoch != epoch or columns.state is RequestState.QUEUED:
        raise _stale(errand_id)
    return RequestRow(*columns)


def _stale(errand_id: str) -> StaleRequest:
    return StaleRequest(f"the lease of request {errand_id} is not valid any more", "lease another request")


def _change(connection: Connection, errand_id: str, **values: Any) -> None:
    connection.execute(update(Request).where(Request.errand_id == errand_id), values)


def _crash_result(deaths: int) -> Json:
    message = f"measuring: its agent was lost {deaths} times"
    return {"error": {"state": "crashed", "message": message, "hint": "see what the agent logged on the device"}}


def _files_of(request: Json) -> frozenset[str]:
    named = (request.get(key) for key in ("baseline", "candidate", "sample"))
    return frozenset(file["sha256"] for file in named if file is not None)
