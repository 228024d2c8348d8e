"""Errands: measurements that remote devices are to make, leased to their agents one at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, or_, select, update

from hwprofiles import Profile
from hwprofiles.errors import NotFound, ParetuneError
from search.states import ErrandState
from search.store import agents, statements
from search.store.columns import utc_now
from search.store.models import Errand
from search.store.rows import Json
from search.store.transactions import Transaction

LEASE_S = 30.0
DEATHS_UNTIL_CRASHED = 3
"""An agent may be the victim of something else once or twice; after this many deaths the errand is at fault."""

_OPEN = (ErrandState.QUEUED, ErrandState.LEASED)
_AGAIN = (ErrandState.CANCELLED, ErrandState.REFUSED)


class StaleErrand(ParetuneError):
    """An agent whose lease of an errand is not the newest: nothing was written."""


@dataclass(frozen=True)
class ErrandRow:
    """An errand as stored. ``result`` is what the agent answered, None until then; ``deaths`` counts the agents that
    were lost while they held it."""

    errand_id: str
    device: str
    profile_digest: str
    request: Json
    state: ErrandState
    epoch: int
    deaths: int
    result: Json | None


_COLUMNS = [getattr(Errand, field.name) for field in fields(ErrandRow)]


class Errands:
    """The errands' side of the store; methods are transactions, as all of the store's are.

    Whoever wants a measurement enqueues it and looks at it until it has ended; agents lease, renew and finish. A device
    holds one errand at a time. An errand is written with the epoch of its newest lease only, so that an agent that was
    given up writes nothing; one whose lease expired, but that nobody took, may still finish it.
    """

    def __init__(self, reading: Transaction, writing: Transaction) -> None:
        self._reading, self._writing = reading, writing

    # Whoever wants a measurement

    def enqueue(self, errand_id: str, profile: Profile, request: Json) -> None:
        """Asks the device of ``profile`` for something, unless that was asked before: what is done stays done.

        An id names the request by its content. One that was cancelled, or that the device could not serve, is asked
        again.
        """
        with self._writing() as connection:
            known = connection.execute(select(Errand.state).where(Errand.errand_id == errand_id)).scalar_one_or_none()
            if known is None:
                statements.register(connection, profile)
                statements.insert_unless_there(
                    connection, Errand, errand_id=errand_id, device=profile.device, profile_digest=profile.digest,
                    request=request, state=ErrandState.QUEUED, epoch=0, deaths=0, created_at=utc_now(),
                )  # fmt: skip
            elif known in _AGAIN:
                _change(
                    connection, errand_id, state=ErrandState.QUEUED, deaths=0, result=None, finished_at=None,
                    created_at=utc_now(),
                )  # fmt: skip

    def get(self, errand_id: str) -> ErrandRow:
        """Where an errand stands."""
        with self._reading() as connection:
            found = connection.execute(select(*_COLUMNS).where(Errand.errand_id == errand_id)).one_or_none()
        if found is None:
            raise NotFound(f"there is no errand {errand_id!r}", "start the job again with: paretune resume JOB")
        return ErrandRow(*found)

    def result(self, errand_id: str) -> Json | None:
        """What an errand came to; None where it came to nothing yet, or was never asked for."""
        with self._reading() as connection:
            query = select(Errand.result).where(Errand.errand_id == errand_id)
            return connection.execute(query).scalar_one_or_none()

    def cancel(self, errand_id: str) -> None:
        """Nobody waits for this errand any more; one that has ended stays as it is."""
        with self._writing() as connection:
            here = Errand.errand_id == errand_id, Errand.state.in_(_OPEN)
            values = {"state": ErrandState.CANCELLED, "lease_until": None, "holder": None, "finished_at": utc_now()}
            connection.execute(update(Errand).where(*here), values)

    def files(self) -> set[str]:
        """SHA-256 of every file that an errand still needs."""
        with self._reading() as connection:
            requests = connection.execute(select(Errand.request).where(Errand.state.in_(_OPEN))).scalars()
            return {sha256 for request in requests for sha256 in _files_of(request)}

    def forget(self, older_than_s: float) -> None:
        """Removes errands that ended so long ago, their results being in the jobs that asked; and those that were asked
        so long ago, and that no agent has held since."""
        before = utc_now() - timedelta(seconds=older_than_s)
        idle = or_(Errand.lease_until.is_(None), Errand.lease_until < before)
        waited = Errand.state.in_(_OPEN) & (Errand.created_at < before) & idle
        with self._writing() as connection:
            connection.execute(delete(Errand).where(or_(Errand.finished_at < before, waited)))

    # Agents

    def lease(self, device: str, instance: str, lease_s: float = LEASE_S) -> ErrandRow | None:
        """The next errand for a device's agent, the oldest first; None if there is none.

        Raises :class:`search.store.agents.AgentReplaced` for an agent that is not the device's newest. An errand that
        this agent holds already is given to it again, as its earlier answer was lost on the way; one whose agent was
        lost is counted, and after three such deaths it has ``crashed``.
        """
        with self._writing() as connection:
            _heard(connection, device, instance)
            while True:
                now = utc_now()
                free = or_(
                    Errand.state == ErrandState.QUEUED,
                    (Errand.state == ErrandState.LEASED) & or_(Errand.holder == instance, Errand.lease_until <= now),
                )
                oldest = (
                    select(*_COLUMNS, Errand.holder)
                    .where(Errand.device == device, free)
                    .order_by(Errand.state != ErrandState.LEASED, Errand.created_at, Errand.errand_id)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                )
                found = connection.execute(oldest).one_or_none()
                if found is None:
                    return None
                *columns, holder = found
                row = ErrandRow(*columns)
                deaths = row.deaths + (row.state is ErrandState.LEASED and holder != instance)
                if deaths >= DEATHS_UNTIL_CRASHED:
                    _change(
                        connection, row.errand_id, state=ErrandState.FAILED, deaths=deaths, holder=None,
                        lease_until=None, result=_crashed(deaths), finished_at=now,
                    )  # fmt: skip
                    continue
                _change(
                    connection, row.errand_id, state=ErrandState.LEASED, epoch=row.epoch + 1, deaths=deaths,
                    holder=instance, lease_until=now + timedelta(seconds=lease_s),
                )  # fmt: skip
                return ErrandRow(*connection.execute(select(*_COLUMNS).where(Errand.errand_id == row.errand_id)).one())

    def renew(self, device: str, instance: str, errand_id: str, epoch: int, lease_s: float = LEASE_S) -> bool:
        """Keeps a lease for so long from now; False where nobody waits for the errand any more.

        Raises :class:`StaleErrand` for a lease that is not the newest; otherwise as :meth:`lease` does.
        """
        with self._writing() as connection:
            _heard(connection, device, instance)
            row = _held(connection, device, errand_id, epoch)
            if row.state is not ErrandState.LEASED:
                return False
            _change(connection, errand_id, lease_until=utc_now() + timedelta(seconds=lease_s))
        return True

    def finish(self, device: str, instance: str, errand_id: str, epoch: int, state: ErrandState, result: Json) -> None:
        """Stores what came of an errand. Harmless when repeated; raises as :meth:`renew` does, and also for an errand
        that was cancelled."""
        with self._writing() as connection:
            _heard(connection, device, instance)
            row = _held(connection, device, errand_id, epoch)
            if row.state is ErrandState.LEASED:
                _change(
                    connection, errand_id, state=state, result=result, holder=None, lease_until=None,
                    finished_at=utc_now(),
                )  # fmt: skip
            elif row.state is not state:
                raise _stale(errand_id)

    def release(self, device: str, instance: str, errand_id: str, epoch: int) -> None:
        """Gives an errand back undone, which counts as no death; raises as :meth:`renew` does."""
        with self._writing() as connection:
            _heard(connection, device, instance)
            if _held(connection, device, errand_id, epoch).state is ErrandState.LEASED:
                _change(connection, errand_id, state=ErrandState.QUEUED, holder=None, lease_until=None)

    def leased_files(self, device: str, errand_id: str) -> Collection[str]:
        """SHA-256 of the files that a device may fetch for an errand; none unless it holds it."""
        with self._reading() as connection:
            here = Errand.errand_id == errand_id, Errand.device == device, Errand.state == ErrandState.LEASED
            request = connection.execute(select(Errand.request).where(*here)).scalar_one_or_none()
        return frozenset() if request is None else _files_of(request)


def _heard(connection: Connection, device: str, instance: str) -> None:
    if not agents.seen(connection, device, instance):
        raise agents.replaced(device)


def _held(connection: Connection, device: str, errand_id: str, epoch: int) -> ErrandRow:
    query = select(*_COLUMNS).where(Errand.errand_id == errand_id, Errand.device == device).with_for_update()
    found = connection.execute(query).one_or_none()
    if found is None or found.epoch != epoch or found.state is ErrandState.QUEUED:
        raise _stale(errand_id)
    return ErrandRow(*found)


def _stale(errand_id: str) -> StaleErrand:
    return StaleErrand(f"the lease of errand {errand_id} is not valid any more", "ask for another errand")


def _change(connection: Connection, errand_id: str, **values: Any) -> None:
    connection.execute(update(Errand).where(Errand.errand_id == errand_id), values)


def _crashed(deaths: int) -> Json:
    message = f"measuring: its agent was lost {deaths} times"
    return {"error": {"state": "crashed", "message": message, "hint": "see what the agent logged on the device"}}


def _files_of(request: Json) -> frozenset[str]:
    named = (request.get(key) for key in ("baseline", "candidate", "sample"))
    return frozenset(file["sha256"] for file in named if file is not None)
