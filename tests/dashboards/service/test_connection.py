"""Requests that are sent again, and errors that come back as ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dashboards.service.connection import TRIES, Connection
from hwprofiles.errors import (
    DeviceUnavailable,
    InvalidInput,
    NotAllowed,
    NotFound,
    ParetuneError,
    StorageError,
)

Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (200, {"Content-Type": "application/json"}, b'{"a": 1}')
PROBLEM = {"Content-Type": "application/problem+json"}


class Script:
    """A server that gives these answers one after another, the last one again and again; None cuts the connection."""

    def __init__(self) -> None:
        self.answers: list[Answer | None] = [OK]
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                script.requests.append((self.command, self.path, dict(self.headers), body))
                answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                if answer is None:
                    self.connection.close()
                    self.close_connection = True
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = do_PUT = handle_any

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def connection(script: Script, pauses: list[float]) -> Iterator[Connection]:
    made = Connection(script.url, "secret", pause=pauses.append)
    yield made
    made.close()


def test_a_server_without_tls_is_named_as_it_is(script: Script) -> None:
    with pytest.raises(StorageError, match="does not speak TLS") as caught:
        Connection(script.url.replace("http", "https"), pause=lambda _: pytest.fail("waits")).get("jobs", {})
    assert caught.value.hint == f"if it has none, use: {script.url}"


def refusal(status: int, headers: dict[str, str] | None = None) -> Answer:
    document = {"type": "urn:x", "title": "x", "status": status, "detail": "what is wrong", "hint": "how to mend it"}
    return status, PROBLEM | (headers or {}), json.dumps(document).encode()


@pytest.mark.parametrize("trouble", [None, refusal(503), refusal(429), (502, {}, b"proxy")])
def test_what_was_lost_is_sent_again_with_the_same_key(
    script: Script, connection: Connection, pauses: list[float], trouble: Answer | None
) -> None:
    script.answers = [trouble, trouble, OK]
    assert connection.send("POST", "jobs", {"target": "digits"}, "k1") == {"a": 1}
    assert len(script.requests) == 3
    assert {request[2]["Idempotency-Key"] for request in script.requests} == {"k1"}
    assert {request[3] for request in script.requests} == {b'{"target":"digits"}'}
    assert len(pauses) == 2
    assert 0 < pauses[0] < 0.3 < 2 * pauses[1]


def test_a_server_says_when_to_come_back(script: Script, connection: Connection, pauses: list[float]) -> None:
    script.answers = [refusal(429, {"Retry-After": "7"}), OK]
    connection.get("jobs", {})
    assert pauses == [7.0]
    script.answers = [refusal(429, {"Retry-After": "3600"}), OK]
    with pytest.raises(StorageError, match="what is wrong"):
        connection.get("jobs", {})


def test_it_gives_up(script: Script, connection: Connection, pauses: list[float]) -> None:
    script.answers = [None]
    with pytest.raises(StorageError, match="does not answer") as caught:
        connection.get("jobs", {})
    assert script.url in caught.value.message
    assert (len(script.requests), len(pauses)) == (TRIES, TRIES - 1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidInput), (401, NotAllowed), (403, NotAllowed), (404, NotFound), (409, DeviceUnavailable),
     (413, InvalidInput), (422, InvalidInput), (500, ParetuneError)],
)  # fmt: skip
def test_problems_are_our_errors(script: Script, connection: Connection, status: int, kind: type) -> None:
    script.answers = [refusal(status)]
    with pytest.raises(kind) as caught:
        connection.send("POST", "jobs", {}, "k")
    assert (caught.value.message, caught.value.hint) == ("what is wrong", "how to mend it")
    assert len(script.requests) == 1


def test_what_is_no_paretune(script: Script, connection: Connection) -> None:
    script.answers = [(200, {"Content-Type": "text/html"}, b"<html>")]
    with pytest.raises(StorageError, match="did not answer with a document"):
        connection.get("jobs", {})
    script.answers = [(404, {"Content-Type": "text/html"}, b"<html>")]
    with pytest.raises(NotFound, match="answered 404"):
        connection.get("jobs", {})


def test_an_unchanged_document_is_not_sent_again(script: Script, connection: Connection) -> None:
    script.answers = [(200, OK[1] | {"ETag": '"v1"'}, OK[2]), (304, {"ETag": '"v1"'}, b""), OK]
    first, second = connection.get("jobs", {"limit": 3}), connection.get("jobs", {"limit": 3})
    assert first == second == {"a": 1}
    assert first is not second
    assert script.requests[1][2]["If-None-Match"] == '"v1"'
    connection.get("jobs", {"limit": 4})
    assert "If-None-Match" not in script.requests[2][2]


def test_a_deletion_whose_answer_was_lost_has_happened(script: Script, connection: Connection) -> None:
    script.answers = [None, refusal(404)]
    connection.send("DELETE", "jobs/1")
    script.answers = [refusal(404)]
    with pytest.raises(NotFound):
        connection.send("DELETE", "jobs/1")


def test_a_download_begins_anew(script: Script, connection: Connection, tmp_path: Path) -> None:
    script.answers = [None, (200, {}, b"x" * 100_000)]
    connection.download("exports/1/bundle", tmp_path / "bundle.zip")
    assert (tmp_path / "bundle.zip").read_bytes() == b"x" * 100_000


def test_the_token_is_sent(script: Script, connection: Connection) -> None:
    connection.get("jobs", {})
    assert script.requests[0][2]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("url", ["", "paretune", "ftp://x", "http://", "http://[::1"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not an address"):
        Connection(url)
