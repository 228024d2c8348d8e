"""Requests that another site's page made in a user's name: cross-site request forgery."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qsl

from starlette.requests import Request

from dashboards.access.credentials import form_token
from hwprofiles.errors import InvalidInput, NotAllowed

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FIELD, HEADER = "form_token", "X-Form-Token"
"""Where forms and scripts put the session's form token."""

_MAX_FORM_BYTES = 64 * 2**10
_HINT = "reload the page and try again"


def check_origin(request: Request) -> None:
    """Raises :class:`NotAllowed` for a request of another site's page. Programs that are no browser say no origin."""
    if _is_foreign(request):
        raise NotAllowed(
            "the request comes from a page of another site",
            "open this server's own pages; behind a proxy with TLS, set PARETUNE_PROXIES",
        )


async def check_form_token(request: Request, cookie: str) -> None:
    """Raises :class:`NotAllowed` unless a request of a session carries its form token, as a header or form field."""
    token = request.headers.get(HEADER) or (await form_of(request)).get(FIELD, "")
    if not hmac.compare_digest(token.encode(errors="replace"), form_token(cookie).encode()):
        raise NotAllowed("the form's token is missing, or of an earlier session", _HINT)


async def form_of(request: Request) -> dict[str, str]:
    """Returns the fields of a form; none for a request of another kind. Raises :class:`InvalidInput` if it is large."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return {}
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > _MAX_FORM_BYTES:
        raise InvalidInput(f"the form has more than {_MAX_FORM_BYTES} bytes, or does not say how many", _HINT)
    return dict(parse_qsl((await request.body()).decode(errors="replace"), max_num_fields=100))


def _is_foreign(request: Request) -> bool:
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site != "same-origin"
    here = f"{request.url.scheme}://{request.headers.get('host', '')}"
    return origin is not None and origin.lower() != here.lower()
