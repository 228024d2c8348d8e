"""Boards of remote devices in the store: the tokens of their agents, and what they last reported."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, select, update

from hwprofiles import Profile
from hwprofiles.errors import NotFound, ParetuneError
from search.store import models, secret, statements
from search.store.columns import utc_now
from search.store.models import Agent, Request
from search.store.rows import Json
from search.store.transactions import Transactions

ONLINE_S = 60.0
"""An agent that was heard from within these seconds is online; one that waits for work asks at least every 20 s."""

DEFAULT_BOARD = ""
"""Name of the board of a device that has only one."""

NODE_KEPT_S = 86400.0
"""Seconds for which a node of a Ray cluster is kept that was not heard from."""


class AgentReplaced(ParetuneError):
    """Raised for an agent that is not its board's newest, or whose token was revoked: it must end itself."""


class BoardDiffers(AgentReplaced):
    """Raised for a board that is not the same device as the other boards of its name."""


@dataclass(frozen=True)
class AgentRow:
    """A board of a remote device as stored. Times are in UTC."""

    device: str
    board: str
    """The board's name; empty for the only one of a device."""
    profile: Profile | None
    """The profile that it last sent, for one thread and batch 1; None before it first registered."""
    offer: Json
    """``runtimes``: those that may execute models; ``cores``: the cores for each number of threads, beginning with
    1."""
    created_at: datetime
    seen_at: datetime | None
    revoked_at: datetime | None
    resource: str | None = None
    """The resource by which a node of a Ray cluster declares the device; None for a board with an agent."""

    @property
    def silent_s(self) -> float:
        """Seconds since it was last heard from; infinite if it never was."""
        return math.inf if self.seen_at is None else max(0.0, (utc_now() - self.seen_at).total_seconds())

    @property
    def online(self) -> bool:
        """Whether it was heard from within :data:`ONLINE_S`, and may measure."""
        return self.revoked_at is None and self.profile is not None and self.silent_s <= ONLINE_S


class Agents:
    """The store's part about remote devices; each method is a transaction.

    A device may have several boards, which all have the same profile: a request goes to any that is free. Each has an
    agent of its own, or is a node of a Ray cluster.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def new_token(self, device: str, board: str = DEFAULT_BOARD) -> str:
        """Makes a token for a board's agent and returns it; only its hash is stored.

        Revokes the board's previous token, and the agent that registered with it.
        """
        token = secret.new_secret()
        values = {"token_sha256": secret.hash_of(token), "revoked_at": None}
        with self._transactions.writing() as connection:
            key = {"device": device, "board": board}
            statements.insert_if_absent(connection, Agent, **key, created_at=utc_now(), offer={}, **values)
            _end_agents(connection, _boards(device, board), values)
        return token

    def revoke(self, device: str, board: str | None = None) -> None:
        """Revokes the token of a board (None: of all boards) and its agent; raises :class:`NotFound` for one that has
        none."""
        with self._transactions.writing() as connection:
            boards = *_boards(device, board), Agent.token_sha256.is_not(None)
            if not _end_agents(connection, boards, {"revoked_at": utc_now()}):
                raise no_agent(device, board)

    def remove(self, device: str) -> None:
        """Forgets a device with all its boards and tokens; raises :class:`NotFound` for a device that has none."""
        with self._transactions.writing() as connection:
            if not connection.execute(delete(Agent).where(Agent.device == device)).rowcount:
                raise no_agent(device)

    def has_tokens(self) -> bool:
        """Returns whether there is a token that was not revoked."""
        with self._transactions.reading() as connection:
            query = select(Agent.device).where(Agent.revoked_at.is_(None), Agent.token_sha256.is_not(None))
            return connection.execute(query.limit(1)).first() is not None

    def device_of(self, token: str) -> str | None:
        """Returns the device that a token belongs to; None if it is unknown or was revoked.

        Compares hashes in constant time.
        """
        match = None
        with self._transactions.reading() as connection:
            query = select(Agent.device, Agent.token_sha256).where(
                Agent.revoked_at.is_(None), Agent.token_sha256.is_not(None)
            )
            rows = connection.execute(query).all()
        for device, token_sha256 in rows:
            if token_sha256 is not None and secret.matches(token, token_sha256):
                match = str(device)
        return match

    def register(self, device: str, token: str, instance: str, profile: Profile, offer: Json) -> None:
        """Registers the agent of the token's board and stores its profile; ``instance`` identifies the agent's process.

        Replaces an earlier instance: requests that it had leased can be leased again. Raises :class:`AgentReplaced` if
        ``token`` is not, or no longer, one of the device's, :class:`BoardDiffers` if another board is online with
        another profile.
        """
        conditions = Agent.device == device, Agent.token_sha256 == secret.hash_of(token), Agent.revoked_at.is_(None)
        with self._transactions.writing() as connection:
            board = connection.execute(select(Agent.board).where(*conditions)).scalar_one_or_none()
            if board is None:
                raise replacement_error(device)
            _check_boards(connection, profile, board)
            statements.register(connection, profile)
            values = {"instance": instance, "profile_digest": profile.digest, "offer": offer, "seen_at": utc_now()}
            _end_agents(connection, _boards(device, board), values)

    def register_node(self, node: str, profile: Profile, offer: Json, resource: str) -> None:
        """Registers a node of a Ray cluster as board of the profile's device.

        Forgets nodes that were not heard from for long. Raises :class:`BoardDiffers` as :meth:`register` does, and for
        a device whose boards have agents.
        """
        device, now = profile.device, utc_now()
        nodes = Agent.device == device, Agent.token_sha256.is_(None)
        with self._transactions.writing() as connection:
            connection.execute(delete(Agent).where(*nodes, Agent.seen_at < now - timedelta(seconds=NODE_KEPT_S)))
            tokens = select(Agent.board).where(Agent.device == device, Agent.token_sha256.is_not(None))
            if connection.execute(tokens).first() is not None:
                raise BoardDiffers(
                    f"device {device!r} has an agent, so that no node of a cluster can have its name",
                    "declare the node's device by another name: paretune devices resources --name NAME",
                )
            _check_boards(connection, profile, node)
            statements.register(connection, profile)
            values = {"profile_digest": profile.digest, "offer": offer, "seen_at": now, "resource": resource}
            if not connection.execute(update(Agent).where(*nodes, Agent.board == node), values).rowcount:
                key = {"device": device, "board": node}
                statements.insert_if_absent(connection, Agent, **key, created_at=now, **values)

    def note_nodes(self, nodes: Collection[str]) -> None:
        """Stores that these nodes of Ray clusters are alive now."""
        alive = Agent.board.in_(list(nodes)), Agent.resource.is_not(None)
        with self._transactions.writing() as connection:
            connection.execute(update(Agent).where(*alive), {"seen_at": utc_now()})

    def row(self, device: str) -> AgentRow | None:
        """Returns the board of a device that was heard from last; None if the device never had any.

        One whose token was revoked only if all were.
        """
        rows = [row for row in self.all() if row.device == device]
        return min(rows, key=lambda row: (row.revoked_at is not None, row.silent_s), default=None)

    def all(self) -> list[AgentRow]:
        """Returns every board that has or had a token, or is a node of a cluster, by device and name."""
        with self._transactions.reading() as connection:
            rows = connection.execute(_rows().order_by(Agent.device, Agent.board)).all()
        return [AgentRow(device, board, _profile(profile), *more) for device, board, profile, *more in rows]


def note_contact(connection: Connection, device: str, instance: str) -> str | None:
    """Stores that the agent of a device's board made contact now, and returns the board; None if ``instance`` is not,
    or no longer, the agent of any."""
    conditions = Agent.device == device, Agent.instance == instance, Agent.revoked_at.is_(None)
    connection.execute(update(Agent).where(*conditions), {"seen_at": utc_now()})
    return connection.execute(select(Agent.board).where(*conditions)).scalar_one_or_none()


def online_boards(connection: Connection, device: str) -> set[str]:
    """Returns the boards of a device whose agents are online."""
    since = utc_now() - timedelta(seconds=ONLINE_S)
    conditions = Agent.device == device, Agent.instance.is_not(None), Agent.seen_at >= since
    return set(connection.execute(select(Agent.board).where(*conditions, Agent.revoked_at.is_(None))).scalars())


def replacement_error(device: str) -> AgentReplaced:
    """Returns the error that tells an agent to end itself."""
    return AgentReplaced(
        f"another agent has registered for device {device!r} since, or the token was revoked",
        f"end the other agent, or make a new token with: paretune devices token {device}",
    )


def no_agent(device: str, board: str | None = None) -> NotFound:
    """Returns the error for a device, or board of it, that never had a token."""
    what = f"remote device {device!r}" if board is None else f"board {board!r} of a remote device {device!r}"
    return NotFound(f"there is no {what}", "list them with: paretune devices agents")


def _boards(device: str, board: str | None) -> tuple[ColumnElement[bool], ...]:
    return (Agent.device == device, *(() if board is None else (Agent.board == board,)))


def _end_agents(connection: Connection, boards: Sequence[ColumnElement[bool]], values: dict[str, Any]) -> bool:
    """Ends the leases of the boards' agents, and writes these values; False if there is no such board."""
    instances = select(Agent.instance).where(*boards, Agent.instance.is_not(None))
    held = Request.holder.in_(connection.execute(instances).scalars().all())
    connection.execute(update(Request).where(held), {"lease_until": utc_now()})
    return bool(connection.execute(update(Agent).where(*boards), {"instance": None, **values}).rowcount)


def _check_boards(connection: Connection, profile: Profile, board: str) -> None:
    """Raises :class:`BoardDiffers` if a device's other board is online with another profile."""
    query = _rows().where(
        Agent.device == profile.device,
        Agent.board != board,
        Agent.profile_digest != profile.digest,
        Agent.revoked_at.is_(None),
        Agent.seen_at >= utc_now() - timedelta(seconds=ONLINE_S),
    )
    for _, name, stored, *_ in connection.execute(query.order_by(Agent.board)):
        different = differences(_profile(stored), profile)
        raise BoardDiffers(
            f"this is not the same device as board {name!r} of {profile.device!r}: {different}",
            f"give it a name of its own: paretune devices token NAME; the boards of {profile.device!r} must be equal",
        )


def differences(profile: Profile | None, other: Profile, most: int = 3) -> str:
    """Returns the fields in which two profiles differ, in words; the first few of them."""
    ours, theirs = _fields({} if profile is None else profile.to_dict()), _fields(other.to_dict())
    keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    texts = [f"{key} is {theirs.get(key)!r} instead of {ours.get(key)!r}" for key in keys[:most]]
    return "; ".join(texts) + (f"; and {len(keys) - most} more" if len(keys) > most else "")


def _fields(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested mappings: ``{"gpu": {"name": …}}`` becomes ``{"gpu.name": …}``."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _fields(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _rows() -> Select[*tuple[Any, ...]]:
    return select(
        Agent.device, Agent.board, models.Profile.data, Agent.offer, Agent.created_at, Agent.seen_at, Agent.revoked_at,
        Agent.resource,
    ).outerjoin(models.Profile, models.Profile.digest == Agent.profile_digest)  # fmt: skip


def _profile(data: Json | None) -> Profile | None:
    return None if data is None else Profile.from_dict(data)
