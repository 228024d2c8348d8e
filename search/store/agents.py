"""Agents of remote devices in the store: their tokens, and what they last reported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Select, delete, select, update

from hwprofiles import Profile
from hwprofiles.errors import NotFound, ParetuneError
from search.store import models, secret, statements
from search.store.columns import utc_now
from search.store.models import Agent, Request
from search.store.rows import Json
from search.store.transactions import Transactions

ONLINE_S = 60.0
"""An agent that was heard from within these seconds is online; one that waits for work asks at least every 20 s."""


class AgentReplaced(ParetuneError):
    """Raised for an agent that is not its device's newest, or whose token was revoked: it must end itself."""


@dataclass(frozen=True)
class AgentRow:
    """A remote device as stored. Times are in UTC."""

    device: str
    profile: Profile | None
    """The profile that its agent last sent, for one thread and batch 1; None before it first registered."""
    offer: Json
    """``runtimes``: those that the agent allows; ``cores``: the cores for each number of threads, beginning with 1."""
    created_at: datetime
    seen_at: datetime | None
    revoked_at: datetime | None

    @property
    def silent_s(self) -> float:
        """Seconds since the agent was last heard from; infinite if it never was."""
        return math.inf if self.seen_at is None else max(0.0, (utc_now() - self.seen_at).total_seconds())

    @property
    def online(self) -> bool:
        """Whether the agent was heard from within :data:`ONLINE_S`, and may measure."""
        return self.revoked_at is None and self.profile is not None and self.silent_s <= ONLINE_S


class Agents:
    """The store's part about agents; each method is a transaction."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def new_token(self, device: str) -> str:
        """Makes a token for a device's agent and returns it; only its hash is stored.

        Revokes the device's previous token, and the agent that registered with it.
        """
        token = secret.new_secret()
        values = {"token_sha256": secret.hash_of(token), "revoked_at": None, "instance": None}
        with self._transactions.writing() as connection:
            statements.insert_if_absent(connection, Agent, device=device, created_at=utc_now(), offer={}, **values)
            connection.execute(update(Agent).where(Agent.device == device), values)
        return token

    def revoke(self, device: str) -> None:
        """Revokes the device's token and agent; raises :class:`NotFound` for a device that has none."""
        values = {"revoked_at": utc_now(), "instance": None}
        with self._transactions.writing() as connection:
            if not connection.execute(update(Agent).where(Agent.device == device), values).rowcount:
                raise no_agent(device)

    def remove(self, device: str) -> None:
        """Forgets a device, its token and agent; raises :class:`NotFound` for a device that has none."""
        with self._transactions.writing() as connection:
            if not connection.execute(delete(Agent).where(Agent.device == device)).rowcount:
                raise no_agent(device)

    def device_of(self, token: str) -> str | None:
        """Returns the device that a token belongs to; None if it is unknown or was revoked.

        Compares hashes in constant time.
        """
        match = None
        with self._transactions.reading() as connection:
            query = select(Agent.device, Agent.token_sha256).where(Agent.revoked_at.is_(None))
            rows = connection.execute(query).all()
        for device, token_sha256 in rows:
            if secret.matches(token, token_sha256):
                match = str(device)
        return match

    def register(self, device: str, token: str, instance: str, profile: Profile, offer: Json) -> None:
        """Registers the agent of a device and stores its profile; ``instance`` identifies the agent's process.

        Replaces earlier instances: requests that they had leased can be leased again. Raises :class:`AgentReplaced` if
        ``token`` is not, or no longer, the device's.
        """
        conditions = Agent.device == device, Agent.token_sha256 == secret.hash_of(token), Agent.revoked_at.is_(None)
        with self._transactions.writing() as connection:
            statements.register(connection, profile)
            now = utc_now()
            values = {"instance": instance, "profile_digest": profile.digest, "offer": offer, "seen_at": now}
            if not connection.execute(update(Agent).where(*conditions), values).rowcount:
                raise replacement_error(device)
            earlier = Request.device == device, Request.holder.is_not(None), Request.holder != instance
            connection.execute(update(Request).where(*earlier), {"lease_until": now})

    def row(self, device: str) -> AgentRow | None:
        """Returns the agent of a device; None if the device never had a token."""
        with self._transactions.reading() as connection:
            columns = connection.execute(_rows().where(Agent.device == device)).one_or_none()
        return None if columns is None else _row(*columns)

    def all(self) -> list[AgentRow]:
        """Returns every device that has or had a token, by name."""
        with self._transactions.reading() as connection:
            return [_row(*columns) for columns in connection.execute(_rows().order_by(Agent.device)).all()]


def note_contact(connection: Connection, device: str, instance: str) -> bool:
    """Stores that a device's agent made contact now; False if ``instance`` is not, or no longer, its agent."""
    conditions = Agent.device == device, Agent.instance == instance, Agent.revoked_at.is_(None)
    return bool(connection.execute(update(Agent).where(*conditions), {"seen_at": utc_now()}).rowcount)


def replacement_error(device: str) -> AgentReplaced:
    """Returns the error that tells an agent to end itself."""
    return AgentReplaced(
        f"another agent has registered for device {device!r} since, or the token was revoked",
        f"end the other agent, or make a new token with: paretune devices token {device}",
    )


def no_agent(device: str) -> NotFound:
    """Returns the error for a device that never had a token."""
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
    stored = None if profile is None else Profile.from_dict(profile)
    return AgentRow(device, stored, offer, created_at, seen_at, revoked_at)
