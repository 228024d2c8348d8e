"""Sessions of browsers in the store: cookies, stored as hashes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import and_, delete, insert, or_, select

from search.permissions import Grant, Scope
from search.store import secret
from search.store.access_models import Session, Token, User
from search.store.columns import utc_now
from search.store.grants import known_scopes, roles_of
from search.store.transactions import Transactions


class Sessions:
    """The store's part about sessions; each method is a transaction.

    A session is valid until it expires or is closed, its user is disabled, or the token that opened it is not valid any
    more.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def open(self, user: str, scopes: Iterable[Scope], lasts: timedelta, token_id: str | None = None) -> str:
        """Opens a session of a user, by a token if that is how they signed in; returns the cookie, which is not stored.

        Forgets sessions that have expired.
        """
        cookie, now = secret.new_secret(), utc_now()
        names = [str(scope) for scope in Scope if scope in set(scopes)]
        with self._transactions.writing() as connection:
            connection.execute(delete(Session).where(Session.expires_at <= now))
            connection.execute(
                insert(Session).values(
                    sha256=secret.hash_of(cookie), user_name=user, token_id=token_id, scopes=names, created_at=now,
                    expires_at=now + lasts,
                )
            )  # fmt: skip
        return cookie

    def grant(self, cookie: str) -> Grant | None:
        """Returns what a session allows; None unless it is valid. The cookie is looked up by its hash."""
        now = utc_now()
        token_holds = and_(Token.revoked_at.is_(None), or_(Token.expires_at.is_(None), Token.expires_at > now))
        query = (
            select(User.name, User.admin, Session.scopes, Token.project, Session.token_id)
            .join(User, User.name == Session.user_name)
            .outerjoin(Token, Token.token_id == Session.token_id)
            .where(Session.sha256 == secret.hash_of(cookie), Session.expires_at > now, User.disabled_at.is_(None))
            .where(or_(Session.token_id.is_(None), token_holds))
        )
        with self._transactions.reading() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            user, admin, scopes, project, token_id = row
            return Grant(user, admin, known_scopes(scopes), roles_of(connection, user), project, token_id)

    def close(self, cookie: str) -> None:
        """Ends a session, if there is one."""
        with self._transactions.writing() as connection:
            connection.execute(delete(Session).where(Session.sha256 == secret.hash_of(cookie)))
