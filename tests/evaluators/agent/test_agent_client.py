"""What an agent makes of answers: the server's own, and those of whatever lies on the way to it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from evaluators.agent.client import AgentClient, Dismissed, LeasedRequest, LeaseLost, ServerGone
from evaluators.devices.request import FileRef
from hwprofiles.errors import DeviceUnavailable, InvalidInput, ParetuneError

LEASED = LeasedRequest("1" * 32, 1, {})
FILE = FileRef("c" * 64, 10)
PROBLEM = {"Content-Type": "application/problem+json"}

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def run_samples(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], AgentClient]]:
    """A client all of whose requests are answered by a function."""
    clients: list[AgentClient] = []
    real = httpx.Client

    def made(answer: Answer) -> AgentClient:
        monkeypatch.setattr(httpx, "Client", lambda **options: real(**options, transport=httpx.MockTransport(answer)))
        clients.append(AgentClient("http://127.0.0.1:1", "token", "first"))
        return clients[-1]

    yield made
    for client in clients:
        client.close()


def said(status: int, content: bytes, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))


def refusal(status: int, **more: Any) -> httpx.Response:
    return said(status, json.dumps({"detail": "why", "hint": "what to do", **more}).encode(), **PROBLEM)


REQUESTS: dict[str, Callable[[AgentClient], object]] = {
    "lease": lambda client: client.lease(),
    "heartbeat": lambda client: client.heartbeat(LEASED),
    "finish": lambda client: client.finish(LEASED, {}),
    "fetch": lambda client: list(client.fetch(LEASED, FILE)),
}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 413, 502, 522])
def test_a_proxy_s_page_is_not_the_server_s_verdict(run_samples: Any, request_: str, status: int) -> None:
    client = run_samples(lambda _: said(status, b"<h1>Nothing here</h1>", **{"Content-Type": "text/html"}))
    with pytest.raises(ServerGone, match=f"something answers {status} in the server's place"):
        REQUESTS[request_](client)


VERDICTS: dict[int, type[ParetuneError]] = {
    400: InvalidInput, 401: Dismissed, 403: Dismissed, 408: ServerGone, 409: LeaseLost, 413: InvalidInput,
    503: ServerGone,
}  # fmt: skip


@pytest.mark.parametrize("status", VERDICTS)
def test_the_server_s_own_verdicts(run_samples: Any, status: int) -> None:
    with pytest.raises(VERDICTS[status], match="why") as caught:
        run_samples(lambda _: refusal(status)).lease()
    assert type(caught.value) is VERDICTS[status]
    assert caught.value.hint == "what to do"


@pytest.mark.parametrize("status", [400, 404])
def test_a_file_that_the_server_does_not_give_is_no_candidate_s_fault(run_samples: Any, status: int) -> None:
    with pytest.raises(DeviceUnavailable, match="why"):
        list(run_samples(lambda _: refusal(status)).fetch(LEASED, FILE))


@pytest.mark.parametrize("request_", REQUESTS)
def test_refusals_are_read_so_far(run_samples: Any, request_: str) -> None:
    with pytest.raises(ServerGone, match="too long"):
        REQUESTS[request_](run_samples(lambda _: refusal(403, more="x" * 2**20)))


@pytest.mark.parametrize("request_", REQUESTS)
def test_nothing_is_unpacked(run_samples: Any, request_: str) -> None:
    packed = gzip.compress(json.dumps({"detail": "unpacked"}).encode())
    client = run_samples(lambda _: said(403, packed, **PROBLEM, **{"Content-Encoding": "gzip"}))
    with pytest.raises(Dismissed) as caught:
        REQUESTS[request_](client)
    assert "unpacked" not in caught.value.message


@pytest.mark.parametrize("ranges", [True, False])
def test_the_rest_of_a_file(run_samples: Any, ranges: bool) -> None:
    """Also from a server, or a proxy, that gives whole files only."""
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("range"))
        return said(206, b"ghts") if ranges else said(200, b"weights")

    assert b"".join(run_samples(answer).fetch(LEASED, FILE, 3)) == b"ghts"
    assert asked == ["bytes=3-"]
