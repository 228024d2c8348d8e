"""Why queued jobs wait, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy

from hwprofiles import find_device
from search.states import JobRequest, JobState
from search.store import Store, Submission, this_process
from search.store.columns import utc_now

Submit = Callable[..., str]


@pytest.fixture
def submit(store: Store) -> Submit:
    """Submits a job and returns its id."""

    def create(user: str = "ann", **more: Any) -> str:
        return store.jobs.create(
            name="digits", spec={}, spec_folder="/jobs", profile=find_device("dry-run"),
            submission=Submission(submitted_by=user, **more),
        )  # fmt: skip

    return create


def reason(store: Store, job_id: str) -> str:
    return store.waiting.reasons([job_id])[job_id]


def add_worker(store: Store, slots: int = 1, host: str = "alpha", refusals: Mapping[str, str] = {}) -> str:
    worker_id = store.workers.add(this_process() | {"host": host}, slots)
    store.workers.note_contact(worker_id, refusals)
    return worker_id


def test_no_worker_runs(store: Store, submit: Submit) -> None:
    job_id = submit()
    assert reason(store, job_id) == "no worker runs; start one with: paretune worker"
    store.workers.stop(add_worker(store))
    assert reason(store, job_id).startswith("no worker runs")


def test_a_silent_worker_is_none(store: Store, submit: Submit, database_url: str) -> None:
    job_id = submit()
    add_worker(store)
    assert reason(store, job_id) == "a worker takes it in a moment"
    engine = sqlalchemy.create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE workers SET seen_at = :at"), {"at": utc_now() - timedelta(hours=1)})
    engine.dispose()
    assert reason(store, job_id).startswith("no worker runs")


def test_no_worker_can_run_it(store: Store, submit: Submit) -> None:
    job_id, other = submit(), submit()
    add_worker(store, host="beta", refusals={job_id: "unknown device 'phone'"})
    add_worker(store, host="alpha", refusals={job_id: "folder /data does not exist there"})
    assert reason(store, job_id) == (
        "no worker that runs can take it: that on alpha: folder /data does not exist there; "
        "that on beta: unknown device 'phone'"
    )
    assert reason(store, other) == (
        "it waits for its turn: 1 job is before it, and workers that can take it run 2 at a time"
    )
    add_worker(store, slots=3, host="gamma")
    assert reason(store, job_id) == (
        "it waits for its turn: 0 jobs are before it, and workers that can take it run 3 at a time"
    )


def test_all_places_are_busy(store: Store, submit: Submit) -> None:
    running = submit("ann")
    ann, ben = [submit("ann") for _ in range(3)], [submit("ben") for _ in range(2)]
    first = submit("ann", priority=5)
    add_worker(store, slots=1)
    assert store.queue.take(this_process(), lambda row: row.job_id == running) is not None
    before = {
        job_id: text.partition(": ")[2].partition(" ")[0]
        for job_id, text in store.waiting.reasons([running, *ann, *ben, first]).items()
    }
    # Ben, who has none running, is first; then they take turns.
    assert before == {ben[0]: "0", first: "1", ben[1]: "2", ann[0]: "3", ann[1]: "4", ann[2]: "5"}
    assert reason(store, ben[1]) == (
        "all places of workers are busy: 2 jobs are before it, and workers that can take it run 1 at a time"
    )


def test_it_waits_for_another_job(store: Store, submit: Submit) -> None:
    first, second = submit(), submit()
    third = submit(after=(first, second))
    add_worker(store)
    taken = store.queue.take(this_process(), lambda row: row.job_id == first)
    assert taken is not None
    names = {first: "running", second: "queued"}
    expected = " and ".join(f"job {job_id} ({names[job_id]})" for job_id in sorted(names))
    assert reason(store, third) == f"it waits for {expected}"
    store.jobs.set_state(taken[1], JobState.DONE)
    store.jobs.release(taken[1])
    assert reason(store, third) == f"it waits for job {second} (queued)"


def test_it_is_not_in_the_queue_or_not_yet_again(store: Store, submit: Submit, new_job: Callable[..., str]) -> None:
    alone = new_job()
    assert reason(store, alone) == f"it was not submitted to workers; start it with: paretune resume {alone}"
    lost = submit()
    assert store.queue.take({**this_process(), "pid": 2**22 - 1, "start_ticks": 1}) is not None
    store.queue.return_lost()
    assert reason(store, lost).startswith("its controller was lost; it begins again in ")


def test_what_is_not_queued_does_not_wait(store: Store, submit: Submit) -> None:
    job_id = submit()
    store.queue.ask(job_id, JobRequest.PAUSE)
    assert store.waiting.reasons([job_id, "ffffffff"]) == {}
    assert store.waiting.reasons([]) == {}
