"""Remote devices' agents: who may speak for a device, and what it last said of itself."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Select, insert, select, update

from hwprofiles import Profile
from hwprofiles.errors import NotFound, ParetuneError
from search.store import models, statements
from search.store.columns import utc_now
from search.store.models import Agent, Errand
from search.store.rows import Json
from search.store.transactions import Transaction

TOKEN_BYTES = 32


class AgentReplaced(ParetuneError):
    """An agent that is not its device's newest, or whose token was revoked: it must end itself."""


@dataclass(frozen=True)
class AgentRow:
    """A remote device as stored. ``profile`` is what its agent last sent, with one thread and batch 1, None before it
    first came; ``offer`` what else it said: ``runtimes`` that it allows, and the ``cores`` of each number of threads
    (the first: of one). Times are in UTC."""

    device: str
    profile: Profile | None
    offer: Json
    created_at: datetime
    seen_at: datetime | None
    revoked_at: datetime | None


class Agents:
    """The agents' side of the store; methods are transactions, as all of the store's are."""

    def __init__(self, reading: Transaction, writing: Transaction) -> None:
        self._reading, self._writing = reading, writing

    def new_token(self, device: str) -> str:
        """A token for a device's agent, which is returned once and kept as its hash alone. The one before, if any, is
        worth nothing from now on, and neither is the agent that registered with it."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        values = {"token_sha256": _hashed(token), "revoked_at": None, "instance": None}
        with self._writing() as connection:
            if not connection.execute(update(Agent).where(Agent.device == device), values).rowcount:
                connection.execute(insert(Agent), {"device": device, "created_at": utc_now(), "offer": {}, **values})
        return token

    def revoke(self, device: str) -> None:
        """From now on the device's token and agent are refused; raises :class:`NotFound` for a device that has none."""
        values = {"revoked_at": utc_now(), "instance": None}
        with self._writing() as connection:
            if not connection.execute(update(Agent).where(Agent.device == device), values).rowcount:
                raise no_agent(device)

    def device_of(self, token: str) -> str | None:
        """The device that a token speaks for; None for one that is unknown or was revoked.

        Hashes are compared in a time that does not depend on them.
        """
        given, found = _hashed(token), None
        with self._reading() as connection:
            query = select(Agent.device, Agent.token_sha256).where(Agent.revoked_at.is_(None))
            known = connection.execute(query).all()
        for device, token_sha256 in known:
            if hmac.compare_digest(given, token_sha256):
                found = str(device)
        return found

    def register(self, device: str, token: str, instance: str, profile: Profile, offer: Json) -> None:
        """A device's agent, in the process that ``instance`` names, says what the device is.

        It is the device's only one from now on: what an earlier instance had leased is there to lease again. Raises
        :class:`AgentReplaced` where ``token`` is not, or no longer, the device's.
        """
        here = Agent.device == device, Agent.token_sha256 == _hashed(token), Agent.revoked_at.is_(None)
        with self._writing() as connection:
            statements.register(connection, profile)
            now = utc_now()
            values = {"instance": instance, "profile_digest": profile.digest, "offer": offer, "seen_at": now}
            if not connection.execute(update(Agent).where(*here), values).rowcount:
                raise replaced(device)
            earlier = Errand.device == device, Errand.holder.is_not(None), Errand.holder != instance
            connection.execute(update(Errand).where(*earlier), {"lease_until": now})

    def row(self, device: str) -> AgentRow | None:
        """A device's agent; None for a device that never had a token."""
        with self._reading() as connection:
            found = connection.execute(_rows().where(Agent.device == device)).one_or_none()
        return None if found is None else _row(*found)

    def all(self) -> list[AgentRow]:
        """Every device that has or had a token, by name."""
        with self._reading() as connection:
            return [_row(*found) for found in connection.execute(_rows().order_by(Agent.device)).all()]


def seen(connection: Connection, device: str, instance: str) -> bool:
    """Notes that a device was heard from now; False where ``instance`` is not, or no longer, its agent."""
    here = Agent.device == device, Agent.instance == instance, Agent.revoked_at.is_(None)
    return bool(connection.execute(update(Agent).where(*here), {"seen_at": utc_now()}).rowcount)


def replaced(device: str) -> AgentReplaced:
    """The error that tells an agent to end itself."""
    return AgentReplaced(
        f"another agent has registered for device {device!r} since, or the token was revoked",
        "end the other agent, or make a new token with: paretune devices token NAME",
    )


def no_agent(device: str) -> NotFound:
    """The error that names a device which never had a token."""
    return NotFound(f"there is no remote device {device!r}", "list them with: paretune devices agents")


def _rows() -> Select[str, Json, Json, datetime, datetime | None, datetime | None]:
    columns = Agent.device, models.Profile.data, Agent.offer, Agent.created_at, Agent.seen_at, Agent.revoked_at
    return select(*columns).outerjoin(models.Profile, models.Profile.digest == Agent.profile_digest)


def _row(
    device: str,
    profile: Json | None,
    offer: Json,
    created_at: datetime,
    seen_at: datetime | None,
    revoked_at: datetime | None,
) -> AgentRow:
    known = None if profile is None else Profile.from_dict(profile)
    return AgentRow(device, known, offer, created_at, seen_at, revoked_at)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
