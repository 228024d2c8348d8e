"""What tokens and sessions allow, the roles of a project's members, and the names that stand for nobody's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

LOCAL_USER, DEFAULT_PROJECT = "local", "default"
"""Who submits, and where to, without a server."""


class Scope(StrEnum):
    """What a token allows. None includes another: a token may do what its scopes name."""

    READ = "read"
    """See jobs, candidates and devices."""
    SUBMIT = "submit"
    """Submit jobs and change them: cancel, pause, resume, delete, export."""
    AGENT = "agent"
    """Connect devices: make and revoke the tokens of their agents."""
    ADMIN = "admin"
    """See and change everyone's jobs, and what belongs to the server; of administrators only."""


class Role(StrEnum):
    """What a user is in a project."""

    MEMBER = "member"
    """Sees the project's jobs and submits to it."""
    OWNER = "owner"
    """Also changes its jobs."""


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
