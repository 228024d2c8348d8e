"""REST beyond the documents: keys, places, unchanged documents, pages, streams that go on where they were cut."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from databases import Databases
from driven_search import Search

from dashboards.server import background
from search.store import Store

DRY_RUN = {"target": "digits", "options": {"devices": ["dry-run"], "trials": 4}}


@pytest.fixture
def api(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    with background(store) as address, httpx.Client(base_url=f"{address}/api/v1", timeout=30) as client:
        yield client


@contextmanager
def stream(api: httpx.Client, path: str, last: str | None = None) -> Iterator[Iterator[tuple[str, str, Any]]]:
    """The events of a stream as (id, name, document)."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with api.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    event: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            event[name] = value
        elif "data" in event:
            yield event.get("id", ""), event["event"], json.loads(event["data"])
            event = {}


class TestSubmitting:
    def test_says_where_the_job_is(self, api: httpx.Client) -> None:
        answer = api.post("/jobs", json=DRY_RUN)
        assert (answer.status_code, answer.json()["state"]) == (201, "queued")
        assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['job_id']}"

    def test_a_key_makes_it_once(self, api: httpx.Client) -> None:
        headers = {"Idempotency-Key": "0b2a"}
        ids = {api.post("/jobs", json=DRY_RUN, headers=headers).json()["job_id"] for _ in range(3)}
        assert len(ids) == 1
        other = api.post("/jobs", json=DRY_RUN | {"options": {"devices": ["dry-run"], "trials": 5}}, headers=headers)
        assert other.status_code == 400

    @pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'"text"', b"{", b'{"target": 3}', b'{"job": []}'])
    def test_what_is_no_submission_is_a_problem(self, api: httpx.Client, body: bytes) -> None:
        answer = api.post("/jobs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


def test_cancelling_and_deleting(api: httpx.Client) -> None:
    job = api.post("/jobs", json=DRY_RUN).json()["job_id"]
    assert api.delete(f"/jobs/{job}").status_code == 400
    assert api.post(f"/jobs/{job}/cancel").json()["state"] == "cancelled"
    assert api.delete(f"/jobs/{job}").status_code == 204
    assert api.get(f"/jobs/{job}").status_code == 404


def test_pages_of_jobs(api: httpx.Client) -> None:
    ids = [api.post("/jobs", json=DRY_RUN).json()["job_id"] for _ in range(3)][::-1]
    first = api.get("/jobs", params={"limit": 2}).json()
    second = api.get("/jobs", params={"limit": 2, "cursor": first["next"]}).json()
    assert [job["job_id"] for job in first["jobs"] + second["jobs"]] == ids
    assert second["next"] is None
    assert api.get("/jobs", params={"limit": 0}).status_code == 422
    assert api.get("/jobs", params={"state": "dun"}).status_code == 422


class TestUnchanged:
    @pytest.mark.parametrize("path", ["", "/front", "/trials", "/trials?limit=3", "/layers", "/learning", "/logs"])
    def test_a_document_is_not_sent_twice(self, api: httpx.Client, search: Any, path: str) -> None:
        search.end()
        first = api.get(f"/jobs/{search.job_id}{path}")
        again = api.get(f"/jobs/{search.job_id}{path}", headers={"If-None-Match": f'"x", {first.headers["etag"]}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])

    def test_a_change_is_sent(self, api: httpx.Client, search: Any) -> None:
        tags = set()
        for change in (lambda: None, search.add, lambda: search.store_front([1]), search.end):
            change()
            answer = api.get(f"/jobs/{search.job_id}/front", headers={"If-None-Match": ", ".join(tags)})
            assert answer.status_code == 200
            tags.add(answer.headers["etag"])
        assert len(tags) == 4

    def test_each_query_has_its_own(self, api: httpx.Client, search: Any) -> None:
        tags = {api.get(f"/jobs/{search.job_id}/trials", params={"limit": n}).headers["etag"] for n in (1, 2, 3)}
        assert len(tags) == 3


class TestStreams:
    def test_a_reader_that_returns_gets_what_it_missed(self, api: httpx.Client, search: Any) -> None:
        path = f"/jobs/{search.job_id}/events"
        with stream(api, path) as keeper:
            first = [next(keeper) for _ in range(3)]
            assert [name for _, name, _ in first] == ["job", "front", "trials"]
            search.add()
            changed = [next(keeper) for _ in range(3)]
            with stream(api, path, last=first[-1][0]) as events:
                assert [next(events) for _ in range(3)] == changed
            with stream(api, path, last=changed[-1][0]) as events:
                search.end()
                names = [name for _, name, _ in events]
                assert names[-1] == "end"
                assert "trials" not in names or len(names) <= 4

    @pytest.mark.parametrize("last", ["", "x", "ffffffff-3", "0", "9" * 200])
    def test_any_other_id_brings_everything(self, api: httpx.Client, search: Any, last: str) -> None:
        with stream(api, f"/jobs/{search.job_id}/events", last=last) as events:
            documents = {name: document for _, name, document in (next(events) for _ in range(3))}
        assert len(documents["trials"]["trials"]) == 13

    def test_one_computation_serves_all_readers(
        self, api: httpx.Client, search: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        computed = []
        from dashboards.api import events as module

        front_of = module.front_of
        monkeypatch.setattr(module, "front_of", lambda report: computed.append(1) or front_of(report))
        ready, go, ends = threading.Barrier(11), threading.Event(), []

        def read() -> None:
            with (
                httpx.Client(base_url=api.base_url, timeout=30) as own,
                stream(own, f"/jobs/{search.job_id}/events") as events,
            ):
                [next(events) for _ in range(3)]
                ready.wait(20)
                go.wait(20)
                ends.append([name for _, name, _ in events][-1])

        readers = [threading.Thread(target=read) for _ in range(10)]
        for reader in readers:
            reader.start()
        ready.wait(20)
        before = len(computed)
        assert before <= 2
        search.add()
        search.end()
        go.set()
        for reader in readers:
            reader.join(20)
        assert ends == ["end"] * 10
        assert len(computed) - before <= 2

    def test_a_log_is_followed(self, api: httpx.Client, search: Any) -> None:
        for number in range(3):
            search.store.logs.add(search.lease, f"line {number}")
        with stream(api, f"/jobs/{search.job_id}/logs/events") as events:
            earlier = [next(events) for _ in range(3)]
            assert [document["text"] for _, _, document in earlier] == ["line 0", "line 1", "line 2"]
            search.store.logs.add(search.lease, "line 3")
            assert next(events)[2]["text"] == "line 3"
            with stream(api, f"/jobs/{search.job_id}/logs/events", last=earlier[1][0]) as late:
                assert [next(late)[2]["text"] for _ in range(2)] == ["line 2", "line 3"]
            search.end()
            assert [name for _, name, _ in events] == ["end"]


def test_exports(api: httpx.Client, search: Any) -> None:
    answer = api.post(f"/candidates/{search.job_id}/4/exports", json={"device": "local-cpu"})
    assert answer.status_code == 201
    document = api.get(answer.headers["location"].removeprefix("/api/v1")).json()
    assert (document["state"], document["candidate_id"]) == ("queued", search.ids[4])
    assert api.get(f"/exports/{document['export_id']}/bundle").status_code == 400
    assert api.post(f"/candidates/{search.ids[4]}/exports").status_code == 400  # dry-run measures nothing


def test_a_body_of_nothing_is_no_options(api: httpx.Client) -> None:
    job = api.post("/jobs", json=DRY_RUN).json()["job_id"]
    assert api.post(f"/jobs/{job}/clone").status_code == 201
    assert api.post(f"/jobs/{job}/clone", json={"seed": -1}).status_code == 400


def test_large_bodies_are_refused_before_they_are_parsed(api: httpx.Client) -> None:
    answer = api.post("/jobs", content=b"[" * 3_000_000, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["title"]) == (413, "Too large")


@pytest.mark.parametrize(
    ("path", "detail", "hint"),
    [
        ("/jobs?sort=nope", "query: unknown parameter 'sort'", "state"),
        ("/jobs?stat=queued", "query: unknown parameter 'stat'", "state"),
        ("/jobs?state=queud", "state: unknown state 'queud'", "queued"),
        ("/devices?revokd=true", "query: unknown parameter 'revokd'", "revoked"),
        ("/workers?all=1", "query: unknown parameter 'all'", "this path takes no parameters"),
        ("/jobs/JOB?device=dry-run", "query: unknown parameter 'device'", "this path takes no parameters"),
        ("/jobs/JOB/trials?state=dun", "state: unknown state 'dun'", "done"),
        ("/jobs/JOB/trials?sort=-speedupp", "sort: unknown metric 'speedupp'", "speedup"),
        ("/jobs/JOB/trials?sort=nope&limit=3", "sort: unknown metric 'nope'", "trial"),
    ],
)  # fmt: skip
def test_what_a_list_does_not_have_is_refused(
    api: httpx.Client, search: Search, path: str, detail: str, hint: str
) -> None:
    answer = api.get(path.replace("JOB", search.job_id))
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)
    assert hint in answer.json()["hint"]


def test_a_list_in_the_order_of_a_metric_without_figures_is_empty(api: httpx.Client, search: Search) -> None:
    answer = api.get(f"/jobs/{search.job_id}/trials?sort=-energy_mj&limit=3")
    assert (answer.status_code, answer.json()["trials"]) == (200, [])


@pytest.mark.parametrize(
    "body",
    [
        '"options":{"trials":' + "9" * 30 + "}", '"options":{"trials":' + "9" * 5000 + "}",
        '"options":{"trials":1e400}',
        '"options":{"minutes":NaN}', '"options":{"seed":-1}', '"options":{"devices":[' + '"x",' * 200_000 + '"x"]}',
        '"priority":' + "9" * 30, '"after":' + "[" * 100_000, '"job":' + '{"a":' * 900 + "1" + "}" * 900,
        '"options":{"name":"' + "n" * 3000 + '"}',
    ],
    ids=lambda body: body[:24],
)  # fmt: skip
def test_absurd_values_are_refused_and_queue_nothing(api: httpx.Client, store: Store, body: str) -> None:
    text = '{"target":"digits",' + body + "}"
    answer = api.post("/jobs", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["hint"]
    assert len(answer.json()["detail"]) < 300
    assert store.queue.length() == 0


def test_an_export_for_an_unknown_device_is_refused(api: httpx.Client, store: Store, search: Search) -> None:
    candidate = store.trials.of_job(search.job_id)[0].candidate_id
    answer = api.post(f"/candidates/{candidate}/exports", json={"device": "local-cpuu"})
    assert answer.status_code == 400
    assert "local-cpuu" in answer.json()["detail"]


def test_a_project_that_does_not_exist_is_refused(api: httpx.Client) -> None:
    answer = api.post("/jobs", json=DRY_RUN | {"project": "nope"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "submission.project: there is no project 'nope'")


@pytest.mark.parametrize("path", ["/jobs?cursor=%00", "/jobs?user=%00", "/exports/%00"])
def test_odd_characters_are_no_failures_of_the_server(
    path: str, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    url = databases.create("postgresql")
    with Store(url) as store, background(store) as address:
        assert httpx.get(f"{address}/api/v1{path}").status_code in (200, 400, 404)
    databases.drop(url)
