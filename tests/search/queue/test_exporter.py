"""Exports that a worker makes, as processes: one that is cancelled ends within seconds and leaves nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from command_line import wait_gone, wait_until
from small_jobs import FinishedJob

from search.export.process import scratch_folder
from search.queue.exporter import Exporter
from search.states import ExportState
from search.store import ExportRow, Store, this_process

pytestmark = pytest.mark.alone

SECONDS_TO_STOP = 15.0
"""Far more than it takes, on a machine that runs other tests."""


@pytest.fixture
def store(digits_job: FinishedJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    with Store(digits_job.copy(tmp_path / "home").database) as opened:
        yield opened


@pytest.fixture
def exporter(store: Store) -> Iterator[Exporter]:
    exporter = Exporter(store, this_process(), os.environ | {"PARETUNE_DB": store.url})
    yield exporter
    exporter.stop(0.0)


@pytest.fixture
def export(digits_job: FinishedJob, store: Store) -> ExportRow:
    """An export that waits for a worker."""
    member = digits_job.front["front"][0]["candidate_id"]
    return store.export_requests.get(store.export_requests.add(member, {"wait_quiet_s": 600.0}, "ada"))


def until_it_builds(exporter: Exporter, export: ExportRow) -> list[psutil.Process]:
    """Waits until the export has its files under way; returns the processes that work on it."""
    exporter.step()
    wait_until(lambda: scratch_folder(export).exists() and any(scratch_folder(export).iterdir()), "files of the export")
    (process,) = (child for child in psutil.Process().children() if export.export_id in child.cmdline())
    return [process, *process.children(recursive=True)]


def test_a_cancelled_export_ends_and_leaves_nothing(exporter: Exporter, store: Store, export: ExportRow) -> None:
    before = store.exports.of_candidate(export.candidate_id)
    family = until_it_builds(exporter, export)
    begun = time.monotonic()
    store.export_requests.cancel(export.export_id)
    exporter.step()
    wait_gone(family)
    assert time.monotonic() - begun < SECONDS_TO_STOP
    assert store.export_requests.get(export.export_id).state is ExportState.CANCELLED
    assert not scratch_folder(export).exists()
    assert store.exports.of_candidate(export.candidate_id) == before
    exporter.step()
    assert not store.export_requests.is_open()


def test_an_export_whose_process_is_killed_is_begun_again_from_nothing(
    exporter: Exporter, store: Store, export: ExportRow
) -> None:
    family = until_it_builds(exporter, export)
    family[0].kill()
    wait_gone(family)
    (scratch_folder(export) / "left over").touch()
    exporter.step()
    row = store.export_requests.get(export.export_id)
    assert (row.state, row.losses) == (ExportState.RUNNING, 1)
    assert not (scratch_folder(export) / "left over").exists()
    exporter.stop(30.0)
    row = store.export_requests.get(export.export_id)
    assert (row.state, row.losses) == (ExportState.QUEUED, 1)
    assert not scratch_folder(export).exists()
