"""The tables of users and what they may do. ``migrations/`` creates them; a test keeps the two equal."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from search.permissions import Role
from search.store.base_model import Base
from search.store.columns import FreeText, json_column, state_column


class User(Base):
    """A user of the server; ``subject`` is who they are at the OpenID Connect issuer, once they came from there."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    admin: Mapped[bool]
    subject: Mapped[str | None] = mapped_column(String(512), unique=True)
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class Token(Base):
    """An API token of a user, by the hash of its secret; ``project`` restricts it to the jobs of one."""

    __tablename__ = "tokens"

    token_id: Mapped[str] = mapped_column(String(8), primary_key=True)
    user_name: Mapped[str] = mapped_column(ForeignKey("users.name"), index=True)
    label: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(json_column())
    project: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]


class Session(Base):
    """A user at a browser, by the hash of the cookie; it ends with the token that opened it, if one did."""

    __tablename__ = "sessions"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_name: Mapped[str] = mapped_column(ForeignKey("users.name"))
    token_id: Mapped[str | None] = mapped_column(ForeignKey("tokens.token_id"))
    scopes: Mapped[list[str]] = mapped_column(json_column())
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Project(Base):
    """A project, whose members see its jobs."""

    __tablename__ = "projects"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    created_at: Mapped[datetime]


class Member(Base):
    """A user in a project."""

    __tablename__ = "members"

    project: Mapped[str] = mapped_column(ForeignKey("projects.name"), primary_key=True)
    user_name: Mapped[str] = mapped_column(ForeignKey("users.name"), primary_key=True)
    role: Mapped[Role] = mapped_column(state_column(Role))


class AuditEntry(Base):
    """Something that somebody did or was refused; never changed."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    user_name: Mapped[str | None] = mapped_column(String(255))
    token_id: Mapped[str | None] = mapped_column(String(8))
    action: Mapped[str] = mapped_column(String(255))
    object: Mapped[str] = mapped_column(FreeText)
    address: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(32))
