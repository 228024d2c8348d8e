"""The agent's HTTP client; the agent itself accepts no connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from evaluators.agent.blobs import Unanswered
from evaluators.devices.request import VERSION, FileRef
from hwprofiles import Profile
from hwprofiles.addresses import is_loopback
from hwprofiles.errors import DeviceUnavailable, InvalidInput

_TIMEOUT = httpx.Timeout(10.0, read=60.0)
_QUICK_TIMEOUT = httpx.Timeout(5.0)
_CHUNK_BYTES = 1 << 20
_MAX_ANSWER_BYTES = 1 << 20
_PROBLEM = "application/problem+json"
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class ServerGone(Unanswered):
    """The server cannot be reached now: try again later."""


class Dismissed(Unanswered):
    """The server refuses this agent: its token is invalid, or a newer agent has replaced it."""


class LeaseLost(Unanswered):
    """The lease of a request is not valid any more."""


@dataclass(frozen=True)
class Terms:
    """The server's answer to a registration."""

    heartbeat_s: float
    """Interval of heartbeats."""


@dataclass(frozen=True)
class LeasedRequest:
    """A leased measurement request, not yet checked."""

    request_id: str
    epoch: int
    """Number of the lease."""
    payload: Any
    """The request's JSON value."""


class AgentClient:
    """One agent's connection. ``instance`` names this process; the server accepts only the device's newest instance.

    Every method raises :class:`ServerGone` if trying again later makes sense, :class:`Dismissed` if it does not, and
    :class:`LeaseLost` for a request that is no longer this agent's. Can be used from several threads.
    """

    def __init__(self, server: str, token: str, instance: str, timeout: httpx.Timeout = _TIMEOUT) -> None:
        try:
            url = httpx.URL(server)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"--server: {error}", "write it like https://paretune.example:8700") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise InvalidInput(
                f"--server: {server!r} is not an http(s) address", "write it like https://paretune.example:8700"
            )
        self.local = is_loopback(url.host)
        self.encrypted = url.scheme == "https"
        self._instance = instance
        self._http = httpx.Client(
            base_url=url.copy_with(path=f"{url.path.rstrip('/')}/api/v1/agent/"),
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            timeout=timeout,
            # A proxy from the environment cannot reach this machine's loopback.
            trust_env=not self.local,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def register(self, profile: Profile, offer: dict[str, Any]) -> Terms:
        """Registers the device with its ``offer`` (:attr:`evaluators.agent.executor.Executor.offer`).

        From now on the server accepts no earlier agent of the device.
        """
        body = {"version": VERSION, "profile": profile.to_dict(), **offer}
        answer = self._post("register", body)
        heartbeat_s = answer.get("heartbeat_s")
        if not isinstance(heartbeat_s, int | float) or not 0.01 <= heartbeat_s <= 3600:
            raise ServerGone("the server's answer cannot be read", "check that --server names a Paretune server")
        return Terms(float(heartbeat_s))

    def lease(self) -> LeasedRequest | None:
        """Waits for a measurement request, as long as the server keeps the connection; None if there was none."""
        answer = self._post("lease", {})
        if not answer:
            return None
        request_id, epoch = answer.get("errand_id"), answer.get("epoch")
        if not isinstance(request_id, str) or not request_id.isalnum() or type(epoch) is not int:
            raise ServerGone("the server's answer cannot be read", "check that --server names a Paretune server")
        return LeasedRequest(request_id, epoch, answer.get("request"))

    def heartbeat(self, leased: LeasedRequest) -> bool:
        """Renews the lease; returns whether the result is still wanted."""
        return self._post(_of(leased, "heartbeat"), {"epoch": leased.epoch}, _QUICK_TIMEOUT).get("wanted") is True

    def finish(self, leased: LeasedRequest, answer: dict[str, Any]) -> None:
        """Delivers the answer to a request."""
        self._post(_of(leased, "result"), {"epoch": leased.epoch, "answer": answer})

    def release(self, leased: LeasedRequest) -> None:
        """Returns a request unanswered, since this agent ends."""
        self._post(_of(leased, "release"), {"epoch": leased.epoch}, _QUICK_TIMEOUT)

    def fetch(self, leased: LeasedRequest, file: FileRef, start: int = 0) -> Iterator[bytes]:
        """Fetches a file's content in chunks, starting at a byte.

        Raises :class:`DeviceUnavailable` if the server does not provide it.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self._http.stream(
                "GET", f"errands/{leased.request_id}/files/{file.sha256}", headers=headers
            ) as response:
                if response.status_code not in (200, 206):
                    _check(response, _read(response))
                skip = start if response.status_code == 200 else 0
                for chunk in response.iter_raw(_CHUNK_BYTES):
                    if len(chunk) > skip:
                        yield chunk[skip:]
                    skip = max(0, skip - len(chunk))
        except InvalidInput as refused:
            raise DeviceUnavailable(refused.message, refused.hint) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise _server_gone(error) from None

    def _post(self, path: str, body: dict[str, Any], timeout: httpx.Timeout | None = None) -> dict[str, Any]:
        try:
            with self._http.stream(
                "POST", path, json={"instance": self._instance, **body}, timeout=timeout or _TIMEOUT
            ) as response:
                return _check(response, _read(response))
        except httpx.HTTPError as error:
            raise _server_gone(error) from None


def _of(leased: LeasedRequest, verb: str) -> str:
    return f"errands/{leased.request_id}/{verb}"


def _read(response: httpx.Response) -> bytes:
    """Reads an answer's body without decoding it."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise ServerGone("the server's answer is too long", "check that --server names a Paretune server")
    return bytes(body)


def _check(response: httpx.Response, body: bytes) -> dict[str, Any]:
    """Returns the JSON object of an answer; raises the exception for a refusal.

    Our server's refusals are problem documents: anything else comes from a proxy on the way.
    """
    status = response.status_code
    if status == 204:
        return {}
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if status != 200 and kind != _PROBLEM:
        raise ServerGone(f"something answers {status} in the server's place", "check that it runs, and --server")
    document = _json(status, body)
    detail, hint = str(document.get("detail", f"HTTP status {status}"))[:400], str(document.get("hint", ""))[:400]
    if status == 200:
        return document
    if status in (401, 403):
        raise Dismissed(f"the server refuses this agent: {detail}", hint)
    if status == 409:
        raise LeaseLost(detail, hint)
    if status in _AGAIN:
        raise ServerGone(f"the server answers {status}: {detail}", hint)
    raise InvalidInput(
        f"the server refuses a request ({status}): {detail}", hint or "use the same version on both sides"
    )


def _json(status: int, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    if status == 200:
        raise ServerGone("the server's answer cannot be read", "check that --server names a Paretune server")
    return {}


def _server_gone(error: Exception) -> ServerGone:
    words = " ".join(str(error).split())[:200] or type(error).__name__
    return ServerGone(f"the server cannot be reached: {words}", "check that it runs, and --server")
