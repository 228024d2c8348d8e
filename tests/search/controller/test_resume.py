"""Controllers that are killed, interrupted, or not alone: nothing finished is lost, repeated or left over."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anonymous import without_ids
from command_line import (
    document,
    error_lines,
    interrupt,
    paretune,
    relatives,
    started,
    wait_gone,
    wait_until,
)  # fmt: skip
from inline_search import without_ray
from small_jobs import write_job

from dashboards.cli import run_app
from dashboards.documents.front import front_document
from search.controller.controller import Controller
from search.controller.submission import submit
from search.folders import default_database
from search.job.spec import load_job
from search.states import JobState
from search.store import Store, TrialRow, this_process

TRIALS = 200
JOB = {
    "budget": {"trials": TRIALS}, "space": {"precision": {}}, "constraints": ["accuracy >= baseline - 0.003"],
    "objectives": [{"metric": "cosine", "direction": "max"}, {"metric": "speedup", "direction": "max"}],
}  # fmt: skip


def anonymous(front: dict[str, Any]) -> str:
    """A front without what is new in every job: ids and times. Its candidates go by their digests."""
    listed = [*front["front"], *front["contenders"], *([front["nearest_miss"]] if front["nearest_miss"] else [])]
    names = {member["candidate_id"]: member["digest"] for member in listed}
    return json.dumps(without_ids(front, names), sort_keys=True)


@pytest.fixture
def undisturbed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[TrialRow]]:
    """The front and trials of the job as it goes when nobody kills anything; without Ray, in this process."""
    job = load_job(write_job(tmp_path, **JOB))
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch, prepare_here=True)
        with Store(default_database()) as store:
            job_id = submit(store, job, tmp_path)
            Controller(store, job_id).run()
            return front_document(store, job_id), store.trials.of_job(job_id)


class Killed:
    """A job whose controllers are killed: what is known of it from outside."""

    def __init__(self, store: Store, job_id: str) -> None:
        self.store, self.job_id = store, job_id
        self.finished: dict[int, TrialRow] = {}

    def count(self) -> int:
        return sum(row.state.finished for row in self.store.trials.of_job(self.job_id))

    def check_nothing_lost(self) -> int:
        """How many more are finished than at the last check."""
        rows = self.store.trials.of_job(self.job_id)
        assert [row.number for row in rows] == list(range(len(rows)))
        assert len({row.digest for row in rows}) == len(rows)
        finished = {row.number: row for row in rows if row.state.finished}
        assert {number: finished.get(number) for number in self.finished} == self.finished
        more = len(finished) - len(self.finished)
        self.finished = finished
        return more


@dataclass(frozen=True)
class Moment:
    """When to kill: so long after one of the phases began, or after so many more trials."""

    phases: tuple[str, ...]
    after_s: float = 0.0
    trials: int = 0


def moments(rng: random.Random) -> list[Moment]:
    """While the job is prepared (if a kill has not come too late for that), while Ray starts, and while trials are
    worked on."""
    return [
        *(Moment(("preparing", "searching"), after_s=rng.uniform(0, 1)) for _ in range(2)),
        Moment(("searching",), after_s=rng.uniform(0, 3)),
        Moment(("searching",), trials=rng.randint(1, 12)),
    ]


def test_kills_change_nothing(undisturbed: tuple[dict[str, Any], list[TrialRow]], home: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with Store(default_database()) as store:
        (first,) = store.jobs.all()
        job = None
        for moment in moments(random.Random(7)):
            with started(*(("resume", job.job_id) if job else ("run", "job.yaml")), home=home, log=log) as process:
                wait_until(lambda m=moment: any(f"{p}: " in log.read_text() for p in m.phases), "its phase")
                job = job or Killed(store, next(row.job_id for row in store.jobs.all() if row.job_id != first.job_id))
                time.sleep(moment.after_s)
                target = len(job.finished) + moment.trials
                wait_until(lambda job=job, target=target: job.count() >= target, "more trials")
                family = relatives(process)
                process.send_signal(signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL
                wait_gone(family)
            assert job.check_nothing_lost() >= moment.trials
        assert job is not None
        assert 0 < len(job.finished) < TRIALS
        front = document(paretune("resume", job.job_id, "--format", "json", home=home))
        job.check_nothing_lost()
        expected, rows = undisturbed
        assert anonymous(front) == anonymous(expected)
        again = store.trials.of_job(job.job_id)
    assert [told(row) for row in again] == [told(row) for row in rows]


def told(row: TrialRow) -> tuple[object, ...]:
    """What a strategy may see of a trial."""
    return row.number, row.block, row.digest, row.decisions, row.state, row.reason, row.metrics


def test_an_interrupted_job_is_resumable_and_two_controllers_are_not(home: Path, tmp_path: Path) -> None:
    """Ctrl-C, as a terminal sends it; before that, a second controller is refused."""
    write_job(tmp_path, budget={"trials": 5000})
    log = tmp_path / "log.txt"
    with started("run", "job.yaml", "--format", "json", home=home, log=log) as process:
        wait_until(lambda: bool(re.search(r"searching: \d+/", log.read_text())), "the first trial")
        (job,) = document(paretune("jobs", "--format", "json", home=home))["jobs"]
        assert job["state"] == "running"
        refused = paretune("resume", job["job_id"], home=home)
        assert refused.returncode == 2
        message, hint = error_lines(refused)
        assert f"job {job['job_id']} is run by process {process.pid}@" in message
        assert hint
        family = relatives(process)
        interrupt(process)
        assert process.wait() == 130
        assert process.stdout is not None
        assert process.stdout.read() == ""
        wait_gone(family)
    lines = log.read_text()
    assert f"interrupted; go on with: paretune resume {job['job_id']}" in lines
    assert "Traceback" not in lines
    with Store(default_database()) as store:
        row = store.jobs.get(job["job_id"])
        assert row.state is JobState.INTERRUPTED
        assert row.finished_at is not None
        assert any(trial.state.finished for trial in store.trials.of_job(row.job_id))
        store.jobs.lease(row.job_id, this_process())  # nobody holds it any more


def test_an_interrupted_preparation_is_resumable(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_job(tmp_path)
    log = tmp_path / "log.txt"
    with started("run", "job.yaml", home=home, log=log) as process:
        wait_until(lambda: "preparing: " in log.read_text(), "the preparation")
        interrupt(process)
        assert process.wait() == 130
    assert "Traceback" not in log.read_text()
    without_ray(monkeypatch, prepare_here=True)
    with Store(default_database()) as store:
        (row,) = store.jobs.all()
        assert row.state is JobState.INTERRUPTED
        assert Controller(store, row.job_id).run() is JobState.DONE


def test_a_finished_job_is_not_run_again(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch, prepare_here=True)
        assert run_app(["run", str(write_job(tmp_path)), "--format", "json"]) == 0
        first = json.loads(capsys.readouterr().out)
    assert run_app(["resume", first["job_id"], "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == first
    assert "is done already" in captured.err
