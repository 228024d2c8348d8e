"""A server reads again only what has changed."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dashboards.api.events import Changes
from dashboards.documents.front import front_of
from dashboards.documents.jobs import job_of
from dashboards.documents.report import JobReport
from dashboards.documents.reports import Reports
from search.states import JobState
from search.store import Store

COSTLY = (("jobs", "get"), ("jobs", "all"), ("trials", "of_job"), ("trials", "since"), ("fronts", "get"))


@pytest.fixture
def reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the store's costly methods, as they are called."""
    called: list[str] = []

    def count(part: str, name: str) -> None:
        method = getattr(getattr(store, part), name)

        def counted(*arguments: Any) -> Any:
            called.append(f"{part}.{name}")
            return method(*arguments)

        monkeypatch.setattr(getattr(store, part), name, counted)

    for part, name in COSTLY:
        count(part, name)
    return called


def test_what_has_not_changed_is_not_read_again(store: Store, search: Any, reads: list[str]) -> None:
    reports = Reports(store)
    first = reports.read(search.job_id)
    assert len(first.candidates.all) == 13
    assert reads == ["jobs.get", "fronts.get", "trials.of_job"]
    reads.clear()
    assert [reports.read(search.job_id) for _ in range(5)] == [first] * 5
    assert reads == []


def test_a_report_is_what_a_fresh_one_would_be(store: Store, search: Any) -> None:
    reports = Reports(store)
    for change in (lambda: search.add(2), search.fail, lambda: search.store_front([0]), search.end):
        reports.read(search.job_id)
        change()
        fresh, kept = JobReport.read(store, search.job_id), reports.read(search.job_id)
        assert list(kept.candidates.all) == list(fresh.candidates.all)
        assert (front_of(kept), job_of(kept)) == (front_of(fresh), job_of(fresh))


def test_only_what_has_changed_is_sent(store: Store, search: Any) -> None:
    reports, changes = Reports(store), Changes()
    assert [name for name, _ in changes.since_last(reports.read(search.job_id))] == ["job", "front", "trials"]
    assert changes.since_last(reports.read(search.job_id)) == []
    search.add()
    events = dict(changes.since_last(reports.read(search.job_id)))
    assert len(events["trials"]["trials"]) == 1


def test_the_list_reads_ended_jobs_once(store: Store, make_search: Any, reads: list[str]) -> None:
    search = make_search()
    search.add(2)
    search.store_front([0])
    search.end(JobState.DONE)
    reports = Reports(store)
    assert reports.listed([search.job_id]) == [job_of(JobReport.read(store, search.job_id))]
    reads.clear()
    reports.listed([search.job_id])
    assert reads == []


def test_several_readers_at_once(store: Store, search: Any) -> None:
    reports, found = Reports(store), []
    readers = [
        threading.Thread(target=lambda: found.append(reports.read(search.job_id).job.job_id)) for _ in range(8)
    ]  # fmt: skip
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert found == [search.job_id] * 8
