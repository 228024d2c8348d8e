"""Files over REST: announced, sent in parts, fetched; with each mistake as a problem document."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from access_people import People
from databases import Databases

from dashboards.api import artefacts as routes
from dashboards.server import background
from search.artefacts.store import ArtefactStore
from search.permissions import Scope
from search.store import Store

DATA = bytes(range(256)) * 10_000
NAME = hashlib.sha256(DATA).hexdigest()
FILE = {"sha256": NAME, "size_bytes": len(DATA)}


@pytest.fixture
def store(databases: Databases) -> Iterator[Store]:
    with Store(databases.create("sqlite")) as opened:
        yield opened


@pytest.fixture
def address(store: Store) -> Iterator[str]:
    with background(store) as address:
        yield address


@pytest.fixture
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address) as client:
        yield client


def announce(http: httpx.Client, **file: Any) -> str:
    answer = http.post("/api/v1/artefacts", json=FILE | file)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/uploads/{answer.json()['upload_id']}"
    return str(answer.headers["location"])


def send(http: httpx.Client, place: str, data: Any, offset: int = 0) -> httpx.Response:
    return http.patch(place, content=data, headers={"Upload-Offset": str(offset)})


def head(place: str, address: str) -> bytes:
    """The head of a request that announces all of the file as one part."""
    lines = f"PATCH {place} HTTP/1.1", f"Host: {urlsplit(address).netloc}", "Upload-Offset: 0"
    return "\r\n".join([*lines, f"Content-Length: {len(DATA)}", "", ""]).encode()


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    return document


def test_a_file_is_sent_in_parts_and_fetched(http: httpx.Client) -> None:
    place = announce(http)
    first = send(http, place, DATA[:2_000_000])
    assert (first.status_code, first.headers["upload-offset"]) == (200, "2000000")
    state = http.head(place)
    assert (state.status_code, state.headers["upload-offset"], state.headers["upload-length"]) == (
        204, "2000000", str(len(DATA)),
    )  # fmt: skip
    last = send(http, place, iter([DATA[2_000_000:2_100_000], DATA[2_100_000:]]), 2_000_000)
    assert last.json() == {**FILE, "received_bytes": len(DATA), "upload_id": None}
    again = http.post("/api/v1/artefacts", json=FILE)
    assert (again.status_code, again.json()["upload_id"]) == (200, None)
    assert http.get(f"/api/v1/artefacts/{NAME}").content == DATA
    assert http.get(f"/api/v1/artefacts/{NAME}", headers={"Range": "bytes=1-3"}).content == DATA[1:4]
    assert http.head(place).status_code == 404


def test_what_arrived_before_the_connection_was_lost_stays(http: httpx.Client, address: str) -> None:
    place, (host, port) = announce(http), urlsplit(address).netloc.split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"PATCH {place} HTTP/1.1\r\nHost: {host}:{port}\r\nUpload-Offset: 0\r\nContent-Length: {len(DATA)}\r\n\r\n"
        )
        connection.sendall(head.encode() + DATA[:1_500_000])
    for _ in range(200):
        received = int(http.head(place).headers["upload-offset"])
        if received == 1_500_000:
            break
    assert received == 1_500_000
    assert send(http, place, DATA[received:], received).json()["upload_id"] is None


def test_silence_ends_a_request(http: httpx.Client, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "SILENCE_S", 0.2)
    place, (host, port) = announce(http), urlsplit(address).netloc.split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = (
            f"PATCH {place} HTTP/1.1\r\nHost: {host}:{port}\r\nUpload-Offset: 0\r\nContent-Length: {len(DATA)}\r\n\r\n"
        )
        connection.sendall(head.encode() + DATA[:1000])
        connection.settimeout(20)
        assert connection.recv(100).startswith(b"HTTP/1.1 408")
    assert http.head(place).headers["upload-offset"] == "1000"


class TestMistakes:
    @pytest.mark.parametrize(
        "body",
        [{}, [], FILE | {"sha256": "../x"}, FILE | {"size_bytes": -1}, FILE | {"size_bytes": "1"}, FILE | {"more": 1}],
    )
    def test_announcements(self, http: httpx.Client, body: Any) -> None:
        problem(http.post("/api/v1/artefacts", json=body), 422)

    def test_one_that_is_too_large(self, http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
        assert (
            "is not accepted"
            in problem(http.post("/api/v1/artefacts", json=FILE | {"size_bytes": 2**31}), 400)["detail"]
        )
        monkeypatch.setenv("PARETUNE_QUOTA_BYTES", "10")
        assert "PARETUNE_QUOTA_BYTES" in problem(http.post("/api/v1/artefacts", json=FILE), 413)["hint"]

    def test_offsets(self, http: httpx.Client) -> None:
        place = announce(http)
        assert problem(send(http, place, DATA[10:], 10), 409)["hint"] == "go on at 0"
        problem(send(http, place, DATA, -1), 422)
        problem(http.patch(place, content=DATA), 422)

    def test_more_than_announced(self, http: httpx.Client) -> None:
        assert "is larger than" in problem(send(http, announce(http), DATA + b"x"), 400)["detail"]

    def test_another_content(self, http: httpx.Client) -> None:
        place = announce(http)
        assert "announced SHA-256" in problem(send(http, place, bytes(len(DATA))), 400)["detail"]
        problem(http.get(f"/api/v1/artefacts/{NAME}"), 404)
        problem(send(http, place, DATA), 404)

    @pytest.mark.parametrize("path", ["artefacts/..%2F..%2Fparetune.db", "artefacts/x", "uploads/..%2Fx"])
    def test_names_that_are_none(self, http: httpx.Client, path: str) -> None:
        assert http.get(f"/api/v1/{path}").status_code in (404, 405, 422)

    def test_storage_that_fails(self, http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
        place = announce(http)
        with monkeypatch.context() as patch:
            patch.setattr("search.artefacts.copying.os.link", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
            assert "No space" in problem(send(http, place, DATA), 503)["detail"]
        answer = http.post("/api/v1/artefacts", json=FILE)
        assert (answer.status_code, answer.json()["upload_id"]) == (200, None)

    def test_giving_up(self, http: httpx.Client) -> None:
        place = announce(http)
        assert http.delete(place).status_code == 204
        problem(http.delete(place), 404)


def test_files_are_their_users_own(store: Store, address: str) -> None:
    people = People(store)
    for name in ("ann", "bob"):
        people.add(name)
    ann, bob, reader = (
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"})
        for token in (people.token("ann"), people.token("bob"), people.token("ann", Scope.READ))
    )
    with ann, bob, reader:
        place = announce(ann)
        problem(bob.delete(place), 404)
        problem(send(bob, place, DATA), 404)
        problem(send(reader, place, DATA), 403)
        send(ann, place, DATA)
        assert reader.get(f"/api/v1/artefacts/{NAME}").content == DATA
        problem(bob.get(f"/api/v1/artefacts/{NAME}"), 404)
        send(bob, announce(bob), DATA)
        assert bob.get(f"/api/v1/artefacts/{NAME}").content == DATA
    assert [stored.sha256 for stored in ArtefactStore().all()] == [NAME]
