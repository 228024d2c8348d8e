"""A real store with one job whose candidates have been given figures, and a server over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driven_search import Search, open_search
from inline_search import without_ray
from small_jobs import spec, write_classifier

from dashboards.server import background
from search.controller.submission import submit
from search.job.spec import parse_job
from search.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'paretune.db'}") as opened:
        yield opened


@pytest.fixture
def make_search(store: Store) -> Callable[..., Search]:
    """Opens one more job in the store."""

    def make(name: str = "digits-here") -> Search:
        return open_search(store, name)

    return make


@pytest.fixture
def search(make_search: Callable[..., Search]) -> Search:
    """A running job: 12 candidates measured, one failed, three on the front and one contender."""
    search = make_search()
    search.add(12)
    search.fail()
    search.store_front([0, 4, 8], tied={9: [8]})
    search.store.jobs.add_wall_time(search.lease, 26.0)
    return search


@pytest.fixture
def on_two(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A queued job on two modelled devices; a controller of the test runs it without Ray."""
    without_ray(monkeypatch, prepare_here=True)
    write_classifier(tmp_path)
    devices = ["dry-run", {"name": "dry-run", "threads": 2, "batch": 8}]
    job = spec(name="on-two", devices=devices, budget={"trials": 24}, constraints=["accuracy >= baseline - 0.0024"])
    return submit(store, parse_job(job, folder=tmp_path), tmp_path)


@pytest.fixture
def address(store: Store) -> Iterator[str]:
    """A server over the store."""
    with background(store) as url:
        yield url
