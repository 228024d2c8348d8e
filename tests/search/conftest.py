"""What tests of jobs share: a store in the home of the test, and small jobs in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inline_search import without_ray
from small_jobs import spec, write_classifier

from search.controller.submission import submit
from search.folders import default_database
from search.job.spec import parse_job
from search.store import Store


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store(default_database()) as opened:
        yield opened


@pytest.fixture
def new_job(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Queues a small job; controllers of this test work without Ray."""
    without_ray(monkeypatch, prepare_here=True)
    write_classifier(tmp_path)

    def create(**fields: Any) -> str:
        return submit(store, parse_job(spec(**fields), folder=tmp_path), tmp_path)

    return create
