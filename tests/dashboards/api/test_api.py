from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from dashboards.documents.candidates import candidate_document
from dashboards.documents.front import front_document
from dashboards.documents.jobs import job_document, job_of, with_waiting
from dashboards.documents.report import JobReport
from dashboards.documents.trials import trials_document
from dashboards.server import background, create_app, serve
from hwprofiles.errors import InvalidInput
from search.store import Store

Event = tuple[str, Any]


@contextmanager
def events_of(url: str) -> Iterator[Iterator[Event]]:
    """A job's events as they arrive, without comments."""
    with httpx.stream("GET", url, timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _parsed(answer.iter_lines())


def _parsed(lines: Iterator[str]) -> Iterator[Event]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_routes_answer_with_the_documents(address: str, store: Store, search: Any) -> None:
    job = search.job_id
    for path, document in {
        "/api/v1/jobs": {"jobs": with_waiting(store, [job_of(JobReport.read(store, job))]), "next": None},
        f"/api/v1/jobs/{job}": job_document(store, job),
        f"/api/v1/jobs/{job[:6]}/front": front_document(store, job),
        f"/api/v1/jobs/{job}/front?device=dry-run": front_document(store, job),
        f"/api/v1/jobs/{job}/trials": trials_document(store, job),
        f"/api/v1/candidates/{search.ids[4]}": candidate_document(store, search.ids[4]),
    }.items():
        answer = httpx.get(address + path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == document


def test_health(address: str) -> None:
    assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "path", ["/api/v1/jobs/ffff", "/api/v1/jobs/ffff/front", "/api/v1/jobs/ffff/events", "/api/v1/candidates/ffff"]
)
def test_errors_are_problems_with_a_hint(address: str, path: str) -> None:
    answer = httpx.get(address + path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["title"], problem["instance"]) == (404, "Not found", path)
    assert "'ffff'" in problem["detail"]
    assert "paretune" in problem["hint"]
    assert problem["type"] == "urn:paretune:problem:not-found"


def test_a_path_that_does_not_exist_and_a_method_are_problems_too(address: str) -> None:
    assert httpx.get(f"{address}/api/v2").json()["title"] == "Not found"
    answer = httpx.delete(f"{address}/api/v1/jobs")
    assert (answer.status_code, answer.json()["title"]) == (405, "Method not allowed")


def test_a_closed_database_is_a_problem(tmp_path: Any) -> None:
    store = Store(f"sqlite:///{tmp_path / 'paretune.db'}")
    with background(store) as address:
        store.close()
        (tmp_path / "paretune.db").write_bytes(b"not a database" * 100)
        answer = httpx.get(f"{address}/healthz")
    assert answer.status_code == 503
    assert answer.json()["title"] == "Storage unavailable"


def test_routes_are_described_and_nothing_is_loaded_from_elsewhere(address: str) -> None:
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    assert {path for path in paths if not path.startswith("/api/v1/agent/")} == {
        "/api/v1/artefacts",
        "/api/v1/artefacts/{sha256}",
        "/api/v1/candidates/{candidate}",
        "/api/v1/candidates/{candidate}/exports",
        "/api/v1/devices",
        "/api/v1/devices/{device}",
        "/api/v1/devices/{device}/capability",
        "/api/v1/exports/{export}",
        "/api/v1/exports/{export}/bundle",
        "/api/v1/exports/{export}/cancel",
        "/api/v1/jobs",
        "/api/v1/jobs/{job}",
        "/api/v1/jobs/{job}/cancel",
        "/api/v1/jobs/{job}/clone",
        "/api/v1/jobs/{job}/events",
        "/api/v1/jobs/{job}/front",
        "/api/v1/jobs/{job}/layers",
        "/api/v1/jobs/{job}/learning",
        "/api/v1/jobs/{job}/logs",
        "/api/v1/jobs/{job}/logs/events",
        "/api/v1/jobs/{job}/pause",
        "/api/v1/jobs/{job}/resume",
        "/api/v1/jobs/{job}/trials",
        "/api/v1/me",
        "/api/v1/uploads/{upload_id}",
        "/api/v1/workers",
        "/healthz",
        "/livez",
        "/metrics",
        "/readyz",
    }
    assert httpx.get(f"{address}/docs").status_code == 404
    assert httpx.get(f"{address}/redoc").status_code == 404


def test_another_host_is_turned_away(address: str) -> None:
    answer = httpx.get(f"{address}/api/v1/jobs", headers={"Host": "paretune.example"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_events_bring_everything_and_then_what_changes(address: str, search: Any) -> None:
    with events_of(f"{address}/api/v1/jobs/{search.job_id}/events") as events:
        first = dict(next(events) for _ in range(3))
        assert set(first) == {"job", "front", "trials"}
        assert len(first["trials"]["trials"]) == 13
        search.add(2)
        rows: set[int] = set()
        while rows != {13, 14}:
            rows |= {row["trial"] for row in next(event for event in events if event[0] == "trials")[1]["trials"]}
        search.store_front([0, 8], final=True)
        search.end()
        rest = list(events)
    assert rest[-1] == ("end", {"state": "done"})
    # What left the front and what was tied is sent again, and nothing else.
    changed = {row["trial"] for name, document in rest if name == "trials" for row in document["trials"]}
    assert {4, 8, 9} <= changed <= {4, 8, 9, 13, 14}
    assert [len(document["front"]) for name, document in rest if name == "front"][-1] == 2


def test_the_events_of_a_finished_job_end_at_once(address: str, search: Any) -> None:
    search.end()
    with events_of(f"{address}/api/v1/jobs/{search.job_id}/events") as events:
        assert [name for name, _ in events] == ["job", "front", "trials", "end"]


def test_an_open_stream_does_not_hold_the_server(store: Store, search: Any) -> None:
    with background(store) as address:
        reader = threading.Thread(target=_read_all, args=(f"{address}/api/v1/jobs/{search.job_id}/events",))
        reader.start()
        time.sleep(0.7)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    reader.join(5)
    assert not reader.is_alive()


def _read_all(url: str) -> None:
    with events_of(url) as events:
        for _ in events:
            pass


def test_a_reader_that_leaves_is_forgotten(store: Store, search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = store.jobs.version

    def counted(job: str, *sight: Any) -> Any:
        reads.append(job)
        return read(job, *sight)

    monkeypatch.setattr(store.jobs, "version", counted)
    with background(store) as address:
        with events_of(f"{address}/api/v1/jobs/{search.job_id}/events") as events:
            next(events)
        time.sleep(1.2)
        seen = len(reads)
        time.sleep(1.5)
        assert 0 < len(reads) == seen


def test_a_taken_port_is_an_invalid_input(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput) as caught:
            serve(store, port=port)
    assert str(port) in caught.value.message
    assert "paretune serve --port PORT" in caught.value.hint


@pytest.mark.parametrize(("host", "port"), [("0.0.0.0", 0), ("example.org", 0), ("127.0.0.1", 70000)])
def test_addresses_that_are_refused(store: Store, host: str, port: int) -> None:
    with pytest.raises(InvalidInput):
        serve(store, host=host, port=port)


def test_the_address_is_printed_to_stderr(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []

    def run(_server: Any, sockets: list[socket.socket]) -> None:
        served.extend(sockets)

    monkeypatch.setattr("dashboards.server._Server.run", run)
    serve(store, port=0)
    output = capsys.readouterr()
    (listener,) = served
    with listener:
        assert f"http://127.0.0.1:{listener.getsockname()[1]}" in output.err
    assert output.out == ""


def test_an_unexpected_failure_is_a_problem_without_its_details(
    search: Any, make_app: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("secret path")

    monkeypatch.setattr("dashboards.documents.reports.Reports.listed", broken)
    with make_app() as client:
        answer = client("/api/v1/jobs")
    assert answer.status_code == 500
    assert "secret" not in answer.text


@pytest.fixture
def make_app(store: Store) -> Callable[[], Any]:
    """A client that goes straight to the application, and does not see what it raises."""

    @contextmanager
    def client() -> Iterator[Callable[[str], httpx.Response]]:
        transport = httpx.ASGITransport(create_app(store), raise_app_exceptions=False)

        async def get(path: str) -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as session:
                return await session.get(path)

        yield lambda path: asyncio.run(get(path))

    return client
