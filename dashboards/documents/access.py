"""The JSON documents of users, tokens, projects and the audit log."""

from __future__ import annotations

from datetime import datetime

from dashboards.words import Json
from search.store import Store
from search.store.audit import AuditRow
from search.store.projects import ProjectRow
from search.store.tokens import TokenRow
from search.store.users import UserRow


def users_document(store: Store | None) -> Json:
    """Returns the users of the store; no store has none."""
    return {"users": [] if store is None else [_user(row) for row in store.users.all()]}


def tokens_document(store: Store | None, user: str | None = None, *, invalid: bool) -> Json:
    """Returns the tokens of one user or of all, expired and revoked ones only if ``invalid``; never their secrets."""
    rows = [] if store is None else store.tokens.all(user)
    return {"tokens": [token_document(row) for row in rows if invalid or row.valid]}


def token_document(row: TokenRow) -> Json:
    """Returns a token without its secret."""
    return {
        "token_id": row.token_id,
        "user": row.user,
        "name": row.label,
        "scopes": sorted(row.scopes),
        "project": row.project,
        "state": "revoked" if row.revoked_at else "valid" if row.valid else "expired",
        "created_at": _iso(row.created_at),
        "expires_at": _iso(row.expires_at),
        "revoked_at": _iso(row.revoked_at),
        "used_at": _iso(row.used_at),
    }


def projects_document(store: Store | None) -> Json:
    """Returns the projects of the store with their members; no store has none."""
    return {"projects": [] if store is None else [_project(row) for row in store.projects.all()]}


def audit_document(store: Store | None, count: int, user: str | None = None) -> Json:
    """Returns the newest entries of the audit log, of one user or of all, the newest first."""
    return {"entries": [] if store is None else [_entry(row) for row in store.audit.newest(count, user)]}


def _user(row: UserRow) -> Json:
    return {
        "name": row.name,
        "admin": row.admin,
        "subject": row.subject,
        "created_at": _iso(row.created_at),
        "disabled_at": _iso(row.disabled_at),
    }


def _project(row: ProjectRow) -> Json:
    return {
        "name": row.name,
        "created_at": _iso(row.created_at),
        "members": {k: str(v) for k, v in row.members.items()},
    }


def _entry(row: AuditRow) -> Json:
    return {
        "at": _iso(row.at),
        "user": row.user,
        "token_id": row.token_id,
        "action": row.action,
        "object": row.object,
        "address": row.address,
        "outcome": row.outcome,
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
