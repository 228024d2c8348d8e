"""One shape for every HTTP error: ``application/problem+json`` (RFC 9457) with our hint as an extension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from dashboards.access.failures import TooManyFailures
from dashboards.access.guard import NotSignedIn
from dashboards.access.oidc import ProviderFailed
from dashboards.words.query import InvalidQuery
from hwprofiles.errors import DeviceUnavailable, InvalidInput, NotAllowed, NotFound, ParetuneError, StorageError
from search.artefacts.uploads import WrongOffset
from search.store.errors import OverQuota

_STATUS: dict[type[ParetuneError], int] = {
    InvalidQuery: 422, InvalidInput: 400, NotSignedIn: 401, NotAllowed: 403, NotFound: 404, DeviceUnavailable: 409,
    WrongOffset: 409, OverQuota: 413, TooManyFailures: 429, ProviderFailed: 502, StorageError: 503,
}  # fmt: skip
_TITLES = {
    400: "Invalid input",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    413: "Too large",
    422: "Invalid input",
    429: "Too many failures",
    502: "Sign-in unavailable",
    503: "Storage unavailable",
}


class RequestRefused(ParetuneError):
    """A request that is refused with a given HTTP status."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


def problem_status(error: ParetuneError) -> int:
    """Returns the HTTP status of one of our errors; 500 for classes without one."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def problem_headers(error: ParetuneError) -> dict[str, str]:
    """Returns the headers that belong to the answer to one of our errors."""
    if isinstance(error, NotSignedIn):
        return {"WWW-Authenticate": 'Bearer error="invalid_token"' if error.wrong_token else "Bearer"}
    return {"Retry-After": str(error.wait_s)} if isinstance(error, TooManyFailures) else {}


def problem(status: int, detail: str, hint: str = "", instance: str | None = None) -> dict[str, Any]:
    """Returns the problem document; ``detail`` says what is wrong, ``hint`` how to fix it."""
    title = _TITLES.get(status, "Error")
    name = title.lower().replace(" ", "-")
    document: dict[str, Any] = {"type": f"urn:paretune:problem:{name}", "title": title, "status": status}
    document["detail"] = detail
    if instance is not None:
        document["instance"] = instance
    if hint:
        document["hint"] = hint
    return document


def problem_response(
    status: int, detail: str, hint: str = "", instance: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """:func:`problem` as a response."""
    document = problem(status, detail, hint, instance)
    return JSONResponse(document, status_code=status, media_type="application/problem+json", headers=headers)
