"""Workers and the controllers that they start, as processes: jobs run, stop when asked, and survive kills."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from command_line import relatives, started, wait_gone, wait_until
from inline_search import without_ray
from small_jobs import write_classifier, write_job

from search.artefacts.store import ArtefactStore
from search.controller.controller import Controller
from search.controller.submission import submit
from search.folders import default_database
from search.job.spec import Job, load_job
from search.queue.job_files import REMEMBERED_S, JobFiles
from search.queue.worker import Worker, refusal
from search.states import JobRequest, JobState
from search.store import Store, Submission, TrialRow

TRIALS = 400
JOB = {"budget": {"trials": TRIALS}, "space": {"precision": {}}}

SECONDS_TO_STOP = 20.0
"""Far more than it takes, on a machine that runs other tests; far less than the job."""


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store(default_database()) as opened:
        yield opened


def load(folder: Path, **fields: Any) -> Job:
    """A job whose space is much larger than its trials."""
    path = write_job(folder, **(JOB | fields))
    write_classifier(folder, layers=7)
    return load_job(path)


def submit_job(store: Store, folder: Path, **fields: Any) -> str:
    return submit(store, load(folder, **fields), folder, Submission("ann"))


def finished(store: Store, job_id: str) -> int:
    return sum(row.state.finished for row in store.trials.of_job(job_id))


def comparable(rows: list[TrialRow]) -> list[tuple[object, ...]]:
    return [(row.number, row.block, row.digest, row.state, row.reason, row.metrics) for row in rows]


def undisturbed(store: Store, folder: Path) -> list[tuple[object, ...]]:
    """The candidates of the same job when nobody disturbs it; without Ray, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch, prepare_here=True)
        job_id = submit(store, load(folder), folder)
        assert Controller(store, job_id).run() is JobState.DONE
    return comparable(store.trials.of_job(job_id))


def controllers(store: Store, job_id: str) -> list[psutil.Process]:
    """The process that holds the job, and all that it has started."""
    owner = store.jobs.get(job_id).lease_owner
    assert owner is not None
    process = psutil.Process(owner["pid"])
    return [process, *process.children(recursive=True)]


def test_a_job_is_paused_resumed_and_handed_back(store: Store, home: Path, tmp_path: Path) -> None:
    """Paused, resumed, returned by a worker that ends, taken by another: the same candidates as ever."""
    expected = undisturbed(store, tmp_path)
    job_id = submit_job(store, tmp_path)

    def wait_for_more(count: int) -> int:
        target = finished(store, job_id) + count
        wait_until(lambda: finished(store, job_id) >= target, f"trial {target} of {job_id}")
        assert store.jobs.get(job_id).state is JobState.RUNNING
        return finished(store, job_id)

    with started("worker", home=home, log=tmp_path / "first.log") as worker:
        wait_for_more(1)
        family = controllers(store, job_id)
        assert store.queue.ask(job_id, JobRequest.PAUSE) is JobState.RUNNING
        asked_at = time.monotonic()
        wait_until(lambda: store.jobs.get(job_id).state is JobState.PAUSED, "the pause")
        assert time.monotonic() - asked_at < SECONDS_TO_STOP
        wait_gone(family)
        kept = finished(store, job_id)
        store.queue.resume(job_id)
        wait_until(lambda: finished(store, job_id) > kept, "trials after the pause")

        worker.send_signal(signal.SIGTERM)
        assert worker.wait() == 0
    assert store.jobs.get(job_id).state is JobState.QUEUED
    assert finished(store, job_id) < TRIALS
    log = tmp_path / "second.log"
    with started("worker", home=home, log=log):
        wait_until(lambda: store.jobs.get(job_id).state is JobState.DONE, "the end")
        wait_until(lambda: f"job {job_id} is done" in log.read_text(), "the worker's report")
    assert comparable(store.trials.of_job(job_id)) == expected
    assert [line.text for line in store.logs.of_job(job_id)].count("preparing: opening the task") == 1


def test_a_cancelled_job_stops_while_it_is_prepared_and_the_next_one_begins(
    store: Store, home: Path, tmp_path: Path
) -> None:
    first, second = submit_job(store, tmp_path), submit_job(store, tmp_path, budget={"trials": 2})
    with started("worker", "--jobs", "2", home=home, log=tmp_path / "log.txt"):
        wait_until(lambda: store.jobs.get(first).progress is not None, "the preparation")
        store.queue.ask(first, JobRequest.CANCEL)
        wait_until(lambda: store.jobs.get(first).state is JobState.CANCELLED, "the cancelling")
        wait_until(lambda: store.jobs.get(second).state is JobState.DONE, "the second job")
    assert finished(store, second) == 2


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def test_a_request_reaches_a_command_that_was_started_in_the(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Any
) -> None:
    without_ray(monkeypatch, prepare_here=True)
    monkeypatch.setattr("search.controller.lease.LOOK_S", 0.01)
    job_id = submit(store, load(tmp_path, budget={"trials": 5000}), tmp_path)
    controller = Controller(store, job_id)

    def ask(*_: object) -> None:
        if finished(store, job_id) >= 3:
            store.queue.ask(job_id, JobRequest.CANCEL)

    monkeypatch.setattr("search.controller.status.StatusReporter.tell_rows", ask)
    before = signal.signal(signal.SIGINT, handler)
    try:
        assert controller.run() is JobState.CANCELLED
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    row = store.jobs.get(job_id)
    assert (row.state, row.requested, row.lease_until) == (JobState.CANCELLED, None, None)
    assert 3 <= finished(store, job_id) < 5000


def test_a_worker_says_why_it_leaves_a_job_to_others(store: Store, tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    job_id = submit_job(store, tmp_path / "job")
    (tmp_path / "job").rename(tmp_path / "moved")
    stop = threading.Event()
    thread = threading.Thread(target=Worker(store).run, args=(stop,))
    thread.start()
    try:
        expected = f"folder {tmp_path / 'job'} does not exist there"
        wait_until(lambda: expected in store.waiting.reasons([job_id])[job_id], "the reason")
    finally:
        stop.set()
        thread.join()
    assert store.waiting.reasons([job_id])[job_id].startswith("no worker runs")


def test_a_worker_leaves_jobs_that_it_cannot_run(store: Store, tmp_path: Path) -> None:
    row, files = store.jobs.get(submit_job(store, tmp_path)), JobFiles()
    elsewhere = {**row.spec, "devices": [{**row.spec["devices"][0], "name": "phone"}]}
    assert refusal(store, row, files) is None
    assert "unknown device 'phone'" in (refusal(store, replace(row, spec=elsewhere), files) or "")
    assert refusal(store, replace(row, spec_folder="/nowhere"), files) == "folder /nowhere does not exist there"
    changed = replace(row, space={}, profile_digest="0" * 64, devices=None)
    assert refusal(store, changed, files) == "device 'dry-run' is not there what it was when the job began"


def test_a_worker_leaves_jobs_whose_files_it_does_not_reach(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("search.queue.job_files.time.monotonic", lambda: now)
    (tmp_path / "model.onnx").write_bytes(b"a model")
    artefacts = ArtefactStore()
    file = artefacts.put(tmp_path / "model.onnx")
    row = replace(store.jobs.get(submit_job(store, tmp_path)), files={"model.onnx": file.sha256})
    files, elsewhere = JobFiles(), JobFiles(ArtefactStore(str(tmp_path / "elsewhere")))
    assert refusal(store, row, files) is None
    reason = refusal(store, row, elsewhere)
    assert reason is not None
    assert f"its files are not in folder {tmp_path / 'elsewhere'} there" in reason
    artefacts.delete(file.sha256)
    assert refusal(store, row, files) is None  # remembered
    now += REMEMBERED_S
    assert refusal(store, row, files) is not None


def test_the_worker_of_up_ends_with_it(home: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = {}
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
            log = tmp_path / f"{number.name}.log"
            database = f"sqlite:///{tmp_path / number.name}.db"
            up = stack.enter_context(started("up", "--port", "0", "--db", database, home=home, log=log))
            running[number] = up, log
        for number, (up, log) in running.items():
            wait_until(lambda log=log: "worker ready" in (text := log.read_text()) and "Paretune is at" in text, "up")
            family = relatives(up)
            assert len(family) == 1
            up.send_signal(number)
            wait_gone(family)
            assert up.wait() == (-signal.SIGKILL if number is signal.SIGKILL else 130)
            assert "Traceback" not in log.read_text()
