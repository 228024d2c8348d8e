"""API tokens in the store: shown once, stored as hashes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, or_, select, update

from hwprofiles.errors import InvalidInput, NotFound
from search.permissions import Grant, Scope
from search.store import secret
from search.store.access_models import Token, User
from search.store.columns import utc_now
from search.store.grants import known_scopes, roles_of
from search.store.projects import require_project
from search.store.transactions import Transactions
from search.store.users import require_user

PREFIX = "pt"
"""What a token begins with, by which scanners of leaked secrets know it: ``pt_ID_SECRET``."""

_TEXT = re.compile(rf"{PREFIX}_([0-9a-f]{{8}})_([A-Za-z0-9_-]+)")

_NOTE_USE = timedelta(minutes=1)
"""How exact ``used_at`` is: a request seldom writes."""


@dataclass(frozen=True)
class TokenRow:
    """A token as stored, without its secret. Times are in UTC."""

    token_id: str
    user: str
    label: str
    """What the user calls it."""
    scopes: frozenset[Scope]
    project: str | None
    """The only project that it is for; None for all."""
    created_at: datetime
    expires_at: datetime | None
    """None for a token that never does."""
    revoked_at: datetime | None
    used_at: datetime | None
    """When it was last used, within a minute; None for never."""

    @property
    def valid(self) -> bool:
        """Whether it is accepted, if its user is."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > utc_now())


_COLUMNS = (
    Token.token_id, Token.user_name, Token.label, Token.scopes, Token.project, Token.created_at, Token.expires_at,
    Token.revoked_at, Token.used_at,
)  # fmt: skip


class Tokens:
    """The store's part about API tokens; each method is a transaction."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def create(
        self,
        user: str,
        scopes: Iterable[Scope],
        *,
        label: str = "",
        project: str | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[TokenRow, str]:
        """Makes a token for a user; returns it and its text, which is not stored.

        Raises :class:`NotFound` for a user or project that does not exist, :class:`InvalidInput` for no scope, and for
        the scope ``admin`` of a user who is no administrator.
        """
        names = [scope for scope in Scope if scope in set(scopes)]
        if not names:
            raise InvalidInput("a token needs a scope", f"name some of: {', '.join(Scope)}")
        with self._transactions.writing() as connection:
            owner = require_user(connection, user)
            if Scope.ADMIN in names and not owner.admin:
                raise InvalidInput(
                    f"{user} is not an administrator, so a token of theirs cannot have the scope 'admin'",
                    f"make them one with: paretune users admin {user}",
                )
            if project is not None:
                require_project(connection, project)
            token_id, text = _new_id(connection), secret.new_secret()
            row = TokenRow(token_id, user, label[:255], frozenset(names), project, utc_now(), expires_at, None, None)
            connection.execute(
                insert(Token).values(
                    token_id=token_id, user_name=user, label=row.label, sha256=secret.hash_of(text),
                    scopes=[str(name) for name in names], project=project, created_at=row.created_at,
                    expires_at=expires_at, revoked_at=None, used_at=None,
                )
            )  # fmt: skip
        return row, f"{PREFIX}_{token_id}_{text}"

    def grant(self, text: str) -> Grant | None:
        """Returns what a token allows; None unless it is valid. Compares hashes in constant time."""
        parts = _TEXT.fullmatch(text)
        if parts is None:
            return None
        token_id, mystery = parts.groups()
        with self._transactions.reading() as connection:
            query = select(*_COLUMNS, Token.sha256, User.admin).join(User, User.name == Token.user_name)
            found = connection.execute(
                query.where(Token.token_id == token_id, User.disabled_at.is_(None))
            ).one_or_none()
            if found is None:
                return None
            *columns, sha256, admin = found
            row = _row(*columns)
            if not secret.matches(mystery, sha256) or not row.valid:
                return None
            roles = roles_of(connection, row.user)
        self._note_use(row)
        return Grant(row.user, admin, row.scopes, roles, row.project, row.token_id)

    def revoke(self, token_id: str) -> TokenRow:
        """Refuses a token from now on, and the sessions that it opened; returns it."""
        with self._transactions.writing() as connection:
            row = _require_token(connection, token_id)
            if row.revoked_at is None:
                connection.execute(update(Token).where(Token.token_id == token_id), {"revoked_at": utc_now()})
        return row

    def all(self, user: str | None = None) -> list[TokenRow]:
        """Returns the tokens of a user, or of all, the oldest first."""
        with self._transactions.reading() as connection:
            query = select(*_COLUMNS).order_by(Token.created_at, Token.token_id)
            if user is not None:
                query = query.where(Token.user_name == require_user(connection, user).name)
            return [_row(*columns) for columns in connection.execute(query)]

    def _note_use(self, row: TokenRow) -> None:
        now = utc_now()
        if row.used_at is None or now - row.used_at >= _NOTE_USE:
            stale = or_(Token.used_at.is_(None), Token.used_at < now)
            with self._transactions.writing() as connection:
                connection.execute(update(Token).where(Token.token_id == row.token_id, stale), {"used_at": now})


def _require_token(connection: Connection, token_id: str) -> TokenRow:
    columns = connection.execute(select(*_COLUMNS).where(Token.token_id == token_id)).one_or_none()
    if columns is None:
        raise NotFound(f"there is no token {token_id!r}", "list them with: paretune tokens list")
    return _row(*columns)


def _new_id(connection: Connection) -> str:
    while True:
        token_id = secrets.token_hex(4)
        if connection.execute(select(Token.token_id).where(Token.token_id == token_id)).first() is None:
            return token_id


def _row(
    token_id: str,
    user: str,
    label: str,
    scopes: list[str],
    project: str | None,
    created_at: datetime,
    *times: datetime | None,
) -> TokenRow:
    return TokenRow(token_id, user, label, known_scopes(scopes), project, created_at, *times)
