"""What a valid token or session allows, and where users belong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from search.permissions import Role, Scope
from search.store.models import Member


@dataclass(frozen=True)
class Grant:
    """What a valid token or session allows: a user's rights, and the restrictions of the token."""

    user: str
    admin: bool
    """Whether the user is an administrator."""
    scopes: frozenset[Scope]
    roles: Mapping[str, Role]
    """What the user is in their projects, by the project's name."""
    project: str | None
    """The only project that the token is for; None for all."""
    token_id: str | None
    """The token, or the one that opened the session; None for a session that none opened."""


def roles_of(connection: Connection, user: str) -> dict[str, Role]:
    """Returns what a user is in their projects, by the project's name."""
    query = select(Member.project, Member.role).where(Member.user_name == user).order_by(Member.project)
    return {row.project: row.role for row in connection.execute(query)}


def known_scopes(names: list[str]) -> frozenset[Scope]:
    """Returns the scopes of these names; those of a later version are left out."""
    return frozenset(scope for scope in Scope if scope in names)
