"""A connection to a server that survives lost packets, restarts of the server, and its refusals for a while."""

from __future__ import annotations

import json
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from dashboards.service.encoding import encode
from dashboards.words import Json
from hwprofiles.errors import DeviceUnavailable, InvalidInput, NotAllowed, NotFound, ParetuneError, StorageError

API = "/api/v1/"
TRIES = 6
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 8.0
_LONGEST_WAIT_S = 60.0
"""A server that wants to be left alone for longer is not waited for."""

_TIMEOUT = httpx.Timeout(30.0, read=180.0)
_AGAIN = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE,
          HTTPStatus.GATEWAY_TIMEOUT}  # fmt: skip
_TLS = "[SSL"
"""In messages about a connection that is not encrypted as it should be, which another attempt does not change."""

_KEPT = 64
"""Documents of which the server says only that they are unchanged."""

_ERRORS: Mapping[int, type[ParetuneError]] = {
    400: InvalidInput, 401: NotAllowed, 403: NotAllowed, 404: NotFound, 405: InvalidInput, 409: DeviceUnavailable,
    413: InvalidInput, 416: InvalidInput, 422: InvalidInput, 429: StorageError, 502: StorageError, 503: StorageError,
    504: StorageError,
}  # fmt: skip
"""What an answer's status means here."""


class Connection:
    """The REST face of a server. Every request may be sent several times, so that each must do the same then.

    Safe for several threads. Raises the errors of :mod:`hwprofiles.errors` that the server's problems stand for, and
    :class:`StorageError` for a server that does not answer.
    """

    def __init__(self, url: str, token: str | None = None, *, pause: Callable[[float], None] = time.sleep) -> None:
        """Raises :class:`InvalidInput` for a URL that cannot be used; connects to nothing yet."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise _invalid(url, str(error)) from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise _invalid(url, "it needs a scheme and a host")
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise InvalidInput(
                "the token has characters that no token has", "set PARETUNE_TOKEN again, or save it: paretune login URL"
            )
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._url, self._pause = url.rstrip("/"), pause
        self._client = httpx.Client(base_url=self._url + API, headers=headers, timeout=_TIMEOUT)
        self._bodies: OrderedDict[str, tuple[str, bytes]] = OrderedDict()

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()

    def get(self, path: str, query: Mapping[str, Any]) -> Json:
        """Returns a document, which is sent only if it has changed."""
        key = f"{path}?{httpx.QueryParams(query)}"
        tag, body = self._bodies.get(key, ("", b""))
        answer = self._ask("GET", path, params=query, headers={"If-None-Match": tag} if tag else {})
        if answer.status_code != HTTPStatus.NOT_MODIFIED:
            body = answer.content
            if "etag" in answer.headers:
                self._bodies[key] = answer.headers["etag"], body
                while len(self._bodies) > _KEPT:
                    self._bodies.popitem(last=False)
        return self._json(body)

    def send(self, method: str, path: str, body: Any = None, key: str | None = None) -> Json:
        """Sends a document, with a key by which the server knows it again; returns the answer's."""
        headers = {} if key is None else {"Idempotency-Key": key}
        content = None if body is None else encode(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        answer = self._ask(method, path, headers=headers, content=content)
        return {} if answer.status_code == HTTPStatus.NO_CONTENT else self._json(answer.content)

    def send_part(self, path: str, content: bytes, offset: int) -> Json:
        """Sends a part of a file that begins at ``offset`` bytes; returns how far the upload is."""
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
        return self._json(self._ask("PATCH", path, headers=headers, content=content).content)

    def download(self, path: str, file: Path) -> None:
        """Writes what the server sends to a file."""

        def fetch() -> httpx.Response:
            with self._client.stream("GET", path) as answer, file.open("wb") as target:
                if answer.is_success:
                    for chunk in answer.iter_bytes():
                        target.write(chunk)
                else:
                    answer.read()
            return answer

        self._repeat(fetch)

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self._repeat(lambda: self._client.request(method, path, **request))

    def _repeat(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        """Returns the first answer that is final; raises the error that it stands for."""
        for attempt in range(TRIES):
            wait_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt) * random.uniform(0.5, 1.0)
            last = attempt == TRIES - 1
            try:
                answer = ask()
            except httpx.TransportError as error:
                if last or _TLS in str(error):
                    raise self._unreachable(error) from None
            else:
                wanted_s = _seconds(answer.headers.get("retry-after"))
                if answer.status_code not in _AGAIN or last or wanted_s > _LONGEST_WAIT_S:
                    # Something that an earlier request has deleted, whose answer was lost, is not there any more.
                    gone = attempt and answer.status_code == HTTPStatus.NOT_FOUND
                    return answer if gone and answer.request.method == "DELETE" else self._checked(answer)
                wait_s = max(wait_s, wanted_s)
            self._pause(wait_s)
        raise AssertionError("unreachable")

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success or answer.status_code == HTTPStatus.NOT_MODIFIED:
            return answer
        kind = _ERRORS.get(answer.status_code, ParetuneError)
        if answer.headers.get("content-type", "").startswith("application/problem+json"):
            problem = answer.json()
            raise kind(str(problem.get("detail")), str(problem.get("hint", "")))
        raise kind(f"{self._url} answered {answer.status_code} {answer.reason_phrase}", "check the server's address")

    def _json(self, body: bytes) -> Json:
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise StorageError(f"{self._url} did not answer with a document", "check that it is a Paretune server")
        return document

    def _unreachable(self, error: httpx.TransportError) -> StorageError:
        reason = str(error) or type(error).__name__
        if _TLS in reason and "CERTIFICATE" not in reason:
            plain = self._url.replace("https://", "http://")
            return StorageError(f"the server {self._url} does not speak TLS: {reason}", f"if it has none, use: {plain}")
        return StorageError(
            f"the server {self._url} does not answer: {reason}", "check that it runs (paretune serve), and its address"
        )


def _invalid(url: str, reason: str) -> InvalidInput:
    return InvalidInput(f"server {url!r} is not an address: {reason}", "write it like: https://paretune.example.org")


def _seconds(text: str | None) -> float:
    """Returns the seconds of a Retry-After header; 0 without one, or for a date."""
    return float(text) if text and text.isdecimal() else 0.0
