"""What a request says about who sends it: a bearer token, or the cookie of a session."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from starlette.requests import HTTPConnection
from starlette.responses import Response

SESSION_LASTS = timedelta(hours=12)

_COOKIE = "paretune"
_SAFE_COOKIE = "__Host-paretune"
"""Browsers take a cookie of this prefix from this host alone, over TLS."""


def bearer_of(request: HTTPConnection) -> str:
    """Returns the bearer token of a request; empty without one."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def cookie_of(request: HTTPConnection) -> str:
    """Returns the session's cookie; empty without one."""
    return request.cookies.get(_cookie_name(request), "")


def set_cookie(request: HTTPConnection, response: Response, cookie: str) -> None:
    """Gives the browser the cookie of a session. Scripts cannot read it, and other sites' requests do not carry it."""
    response.set_cookie(
        _cookie_name(request), cookie, max_age=int(SESSION_LASTS.total_seconds()), path="/", secure=over_tls(request),
        httponly=True, samesite="lax",
    )  # fmt: skip


def delete_cookie(request: HTTPConnection, response: Response) -> None:
    """Takes the cookie of a session from the browser."""
    response.delete_cookie(_cookie_name(request), path="/", secure=over_tls(request), httponly=True, samesite="lax")


def form_token(cookie: str) -> str:
    """Returns what the forms of a session carry, which another site cannot know; empty without a cookie."""
    return hashlib.sha256(f"form {cookie}".encode(errors="replace")).hexdigest() if cookie else ""


def over_tls(request: HTTPConnection) -> bool:
    """Returns whether the browser used TLS, to this server or to its proxy."""
    return request.url.scheme == "https"


def address_of(request: HTTPConnection) -> str | None:
    """Returns where a request came from; behind a trusted proxy the client's address."""
    return request.client.host if request.client else None


def _cookie_name(request: HTTPConnection) -> str:
    return _SAFE_COOKIE if over_tls(request) else _COOKIE
