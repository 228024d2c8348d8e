"""The agent's way to the server: HTTP requests that it makes, none that it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from evaluators.devices.request import VERSION, FileRef
from hwprofiles import Profile
from hwprofiles.addresses import is_loopback
from hwprofiles.errors import DeviceUnavailable, InvalidInput, ParetuneError

_TIMEOUT = httpx.Timeout(10.0, read=60.0)
_QUICK_TIMEOUT = httpx.Timeout(5.0)
_CHUNK_BYTES = 1 << 20
_MAX_ANSWER_BYTES = 1 << 20
_PROBLEM = "application/problem+json"
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class ServerGone(ParetuneError):
    """The server cannot be reached, or not now: try again later."""


class Dismissed(ParetuneError):
    """The server refuses this agent for good: its token, or because another has taken its place."""


class LeaseLost(ParetuneError):
    """The server asks nothing of this agent under that lease any more."""


@dataclass(frozen=True)
class Terms:
    """What the server answers when an agent registers: how often to be heard from, in seconds."""

    heartbeat_s: float


@dataclass(frozen=True)
class LeasedRequest:
    """An errand as it was leased, not yet looked at."""

    errand_id: str
    epoch: int
    request: Any


class AgentClient:
    """One agent's requests. ``instance`` names this process; the server listens to the device's newest one only.

    Every method raises :class:`ServerGone` when trying again later makes sense, :class:`Dismissed` when it does not,
    and :class:`LeaseLost` for an errand that is no longer this agent's. Safe in several threads.
    """

    def __init__(self, server: str, token: str, instance: str, timeout: httpx.Timeout = _TIMEOUT) -> None:
        try:
            url = httpx.URL(server)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"--server: {error}", "write it like https://paretune.example:8700") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise InvalidInput(f"--server: {server!r} is no address", "write it like https://paretune.example:8700")
        self.local = is_loopback(url.host)
        self.encrypted = url.scheme == "https"
        self._instance = instance
        self._http = httpx.Client(
            base_url=url.copy_with(path=f"{url.path.rstrip('/')}/api/v1/agent/"),
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            timeout=timeout,
            # A proxy of the environment leads nowhere near this machine.
            trust_env=not self.local,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def register(self, profile: Profile, runtimes: Sequence[str], cores: Sequence[Sequence[int]]) -> Terms:
        """Says what this device is, what it may execute with, and its cores for 1, 2, … threads; from now on the server
        listens to no earlier agent of the device."""
        offer = {"runtimes": list(runtimes), "cores": [list(ids) for ids in cores]}
        body = {"version": VERSION, "profile": profile.to_dict(), **offer}
        answer = self._post("register", body)
        heartbeat_s = answer.get("heartbeat_s")
        if not isinstance(heartbeat_s, int | float) or not 0.01 <= heartbeat_s <= 3600:
            raise ServerGone("the server's answer cannot be read", "check that --server names a Paretune server")
        return Terms(float(heartbeat_s))

    def lease(self) -> LeasedRequest | None:
        """Waits for an errand for as long as the server likes; None if there was none."""
        answer = self._post("lease", {})
        if not answer:
            return None
        errand_id, epoch = answer.get("errand_id"), answer.get("epoch")
        if not isinstance(errand_id, str) or not errand_id.isalnum() or type(epoch) is not int:
            raise ServerGone("the server's answer cannot be read", "check that --server names a Paretune server")
        return LeasedRequest(errand_id, epoch, answer.get("request"))

    def heartbeat(self, leased: LeasedRequest) -> bool:
        """Keeps the lease; whether anybody still waits for the result."""
        return self._post(_of(leased, "heartbeat"), {"epoch": leased.epoch}, _QUICK_TIMEOUT).get("wanted") is True

    def finish(self, leased: LeasedRequest, answer: dict[str, Any]) -> None:
        """Hands in what came of an errand."""
        self._post(_of(leased, "result"), {"epoch": leased.epoch, "answer": answer})

    def release(self, leased: LeasedRequest) -> None:
        """Gives an errand back undone, since this agent ends."""
        self._post(_of(leased, "release"), {"epoch": leased.epoch}, _QUICK_TIMEOUT)

    def fetch(self, leased: LeasedRequest, file: FileRef, start: int = 0) -> Iterator[bytes]:
        """A file's content from a byte on, piece by piece; raises :class:`DeviceUnavailable` where the server does not
        give it."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self._http.stream(
                "GET", f"errands/{leased.errand_id}/files/{file.sha256}", headers=headers
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
    return f"errands/{leased.errand_id}/{verb}"


def _read(response: httpx.Response) -> bytes:
    """All of an answer, as it was sent."""
    read = bytearray()
    for chunk in response.iter_raw():
        read += chunk
        if len(read) > _MAX_ANSWER_BYTES:
            raise ServerGone("the server's answer is too long", "check that --server names a Paretune server")
    return bytes(read)


def _check(response: httpx.Response, read: bytes) -> dict[str, Any]:
    """The JSON object of an answer; raises what a refusal means.

    Our server's refusals are problem documents: any other comes from what lies on the way, and says nothing of us.
    """
    status = response.status_code
    if status == 204:
        return {}
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if status != 200 and kind != _PROBLEM:
        raise ServerGone(f"something answers {status} in the server's place", "check that it runs, and --server")
    document = _json(status, read)
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


def _json(status: int, read: bytes) -> dict[str, Any]:
    try:
        document = json.loads(read)
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
