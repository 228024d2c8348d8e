"""Users in the store."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from hwprofiles.errors import InvalidInput, NotFound
from search.permissions import LOCAL_USER
from search.store.access_models import User
from search.store.columns import utc_now
from search.store.transactions import Transactions

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,254}")
"""Names of users and projects: letters, digits and ``. _ @ + -``, also an e-mail address."""


@dataclass(frozen=True)
class UserRow:
    """A user as stored. Times are in UTC."""

    name: str
    admin: bool
    subject: str | None
    """Who they are at the OpenID Connect issuer; None unless they came from there."""
    created_at: datetime
    disabled_at: datetime | None
    """Since when nothing of theirs is accepted; None while it is."""


_COLUMNS = User.name, User.admin, User.subject, User.created_at, User.disabled_at


class Users:
    """The store's part about users; each method is a transaction. Names raise :class:`NotFound` without a user."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, name: str, *, admin: bool = False, subject: str | None = None) -> UserRow:
        """Adds a user and returns them; raises :class:`InvalidInput` for a name that is taken or cannot be one."""
        check_name("user", name)
        if name == LOCAL_USER:
            raise InvalidInput(f"the name {name!r} stands for the command line of this machine", "choose another")
        with self._transactions.writing() as connection:
            if find_user(connection, name) is not None:
                raise InvalidInput(f"there is a user {name!r} already", "list them with: paretune users list")
            user = UserRow(name, admin, subject, utc_now(), None)
            connection.execute(insert(User).values(asdict(user)))
        return user

    def get(self, name: str) -> UserRow | None:
        """Returns a user; None if there is none of this name."""
        with self._transactions.reading() as connection:
            return find_user(connection, name)

    def by_subject(self, subject: str) -> UserRow | None:
        """Returns the user who is this subject of the OpenID Connect issuer; None if nobody is."""
        with self._transactions.reading() as connection:
            row = connection.execute(select(*_COLUMNS).where(User.subject == subject)).one_or_none()
        return None if row is None else UserRow(*row)

    def all(self) -> list[UserRow]:
        """Returns all users, by name."""
        with self._transactions.reading() as connection:
            return [UserRow(*row) for row in connection.execute(select(*_COLUMNS).order_by(User.name))]

    def exist(self) -> bool:
        """Returns whether there is a user, disabled or not: who asks must then say who they are."""
        with self._transactions.reading() as connection:
            return connection.execute(select(User.name).limit(1)).first() is not None

    def disable(self, name: str) -> None:
        """Refuses a user's tokens and sessions from now on."""
        self._change(name, disabled_at=utc_now())

    def enable(self, name: str) -> None:
        """Accepts a user's tokens again."""
        self._change(name, disabled_at=None)

    def set_admin(self, name: str, admin: bool) -> None:
        """Makes a user an administrator, or an ordinary one."""
        self._change(name, admin=admin)

    def set_subject(self, name: str, subject: str) -> None:
        """Notes who a user is at the OpenID Connect issuer."""
        self._change(name, subject=subject)

    def _change(self, name: str, **values: Any) -> None:
        with self._transactions.writing() as connection:
            if not connection.execute(update(User).where(User.name == name), values).rowcount:
                raise no_user(name)


def check_name(noun: str, name: str) -> None:
    """Raises :class:`InvalidInput` for what cannot be the name of a user or project."""
    if not NAME.fullmatch(name):
        raise InvalidInput(f"{name[:80]!r} is not a valid name of a {noun}", "use letters, digits and . _ @ + -")


def find_user(connection: Connection, name: str) -> UserRow | None:
    """Returns a user; None if there is none of this name."""
    row = connection.execute(select(*_COLUMNS).where(User.name == name)).one_or_none()
    return None if row is None else UserRow(*row)


def require_user(connection: Connection, name: str) -> UserRow:
    """Returns a user; raises :class:`NotFound` if there is none of this name."""
    user = find_user(connection, name)
    if user is None:
        raise no_user(name)
    return user


def no_user(name: str) -> NotFound:
    """Returns the error for a user that does not exist."""
    return NotFound(f"there is no user {name!r}", f"add them with: paretune users add {name}")
