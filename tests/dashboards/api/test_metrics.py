"""What Prometheus and health checks read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from dashboards.server import background, create_app
from hwprofiles import find_device
from search.states import JobRequest
from search.store import Store, Submission, this_process


@pytest.fixture
def store(database_url: str) -> Store:
    return Store(database_url)


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def test_counts_are_those_of_the_store(store: Store) -> None:
    for name in ("a", "b"):
        job_id = store.jobs.create(
            name=name, spec={}, spec_folder="/", profile=find_device("dry-run"), submission=Submission()
        )
    store.queue.ask(job_id, JobRequest.CANCEL)
    store.workers.add(this_process(), 3)
    with store, background(store) as address:
        httpx.get(f"{address}/api/v1/jobs/{job_id}")
        answer = httpx.get(f"{address}/metrics")
    read = samples(answer.text)
    assert answer.headers["content-type"].startswith("text/plain")
    assert read[("paretune_jobs", ("queued",))] == read[("paretune_jobs", ("cancelled",))] == 1
    assert read[("paretune_workers_online", ())] == 1
    assert read[("paretune_worker_slots", ())] == 3
    assert read[("paretune_queue_wait_seconds", ())] > 0
    assert read[("paretune_request_seconds_count", ("GET", "/api/v1/jobs/{job}", "200"))] == 1


def test_a_server_is_alive_without_its_database_but_not_ready(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'paretune.db'}")
    with background(store) as address:
        assert httpx.get(f"{address}/readyz").status_code == 200
        store.close()
        (tmp_path / "paretune.db").write_bytes(b"not a database" * 100)
        assert httpx.get(f"{address}/readyz").status_code == 503
        assert httpx.get(f"{address}/livez").status_code == 200


def test_a_server_that_stops_is_not_ready(tmp_path: Path) -> None:
    async def ask(app: FastAPI) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return await client.get("/readyz")

    with Store(f"sqlite:///{tmp_path / 'paretune.db'}") as store:
        app = create_app(store)
        app.state.stopping.set()
        answer = asyncio.run(ask(app))
    assert (answer.status_code, answer.json()["detail"]) == (503, "the server is stopping")
