"""What grants are made of: the scopes of tokens, and where users belong."""

from __future__ import annotations

from sqlalchemy import Connection, select

from search.permissions import Role, Scope
from search.store.access_models import Member


def roles_of(connection: Connection, user: str) -> dict[str, Role]:
    """Returns what a user is in their projects, by the project's name."""
    query = select(Member.project, Member.role).where(Member.user_name == user).order_by(Member.project)
    return {row.project: row.role for row in connection.execute(query)}


def known_scopes(names: list[str]) -> frozenset[Scope]:
    """Returns the scopes of these names; those of a later version are left out."""
    return frozenset(scope for scope in Scope if scope in names)
