"""Leases: one writer a job, whoever dies and whoever comes late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hwprofiles.errors import InvalidInput, NotFound, ParetuneError
from search.outcome import TrialOutcome
from search.space.candidate import Candidate
from search.states import JobState, TrialState
from search.store import JobBusy, Lease, StaleLease, Store, TrialRow, this_process
from search.store.owner import is_dead, owner_of

NewJob = Callable[..., str]
Start = Callable[[str, str], subprocess.Popen[str]]
Contents = Callable[[], dict[str, list[tuple[object, ...]]]]

# A controller in miniature: it waits for a line, takes the lease, says so, and holds it until it is killed.
_CONTROLLER = """
import sys
from search.store import JobBusy, Store, this_process
store = Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    print(store.jobs.lease(sys.argv[2], this_process(), lease_s=600).epoch, flush=True)
except JobBusy:
    print("busy", flush=True)
sys.stdin.readline()
"""

_ELSEWHERE = {"host": "elsewhere.example", "pid": 1, "started": 0.0}


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Starts controllers in processes of their own."""
    children: list[subprocess.Popen[str]] = []

    def start(url: str, job_id: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _CONTROLLER, url, job_id]
        pipe = subprocess.PIPE
        children.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


def _say(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def _hear(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


class TestLeases:
    def test_every_lease_has_a_higher_epoch(self, store: Store, new_job: NewJob) -> None:
        job_id = new_job()
        for epoch in (1, 2, 3):
            lease = store.jobs.lease(job_id, this_process())
            assert lease == Lease(job_id, epoch)
            store.jobs.release(lease)

    def test_a_held_job_is_busy(self, store: Store, new_job: NewJob) -> None:
        job_id = new_job()
        store.jobs.lease(job_id, _ELSEWHERE)
        with pytest.raises(JobBusy, match=r"process 1@elsewhere\.example") as caught:
            store.jobs.lease(job_id, this_process())
        assert isinstance(caught.value, InvalidInput)
        assert job_id in caught.value.hint

    def test_the_same_process_cannot_hold_it_twice(self, store: Store, lease: Lease) -> None:
        with pytest.raises(JobBusy, match=f"process {os.getpid()}@"):
            store.jobs.lease(lease.job_id, this_process())

    def test_an_expired_lease_is_there_to_take(self, store: Store, new_job: NewJob) -> None:
        job_id = new_job()
        late = store.jobs.lease(job_id, _ELSEWHERE, lease_s=0)
        taken = store.jobs.lease(job_id, this_process())
        assert taken.epoch == late.epoch + 1
        with pytest.raises(StaleLease):
            store.jobs.renew(late)

    def test_renewing_keeps_it(self, store: Store, new_job: NewJob) -> None:
        job_id = new_job()
        store.jobs.renew(store.jobs.lease(job_id, _ELSEWHERE, lease_s=0), lease_s=600)
        with pytest.raises(JobBusy):
            store.jobs.lease(job_id, this_process())

    def test_a_job_that_is_not_there(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.jobs.lease("00000000", this_process())
        with pytest.raises(StaleLease):
            store.jobs.renew(Lease("00000000", 1))

    def test_stale_writers_write_nothing(
        self, store: Store, lease: Lease, trials: list[TrialRow], candidates: list[Candidate], contents: Contents
    ) -> None:
        candidate_id = trials[0].candidate_id
        store.jobs.release(lease)
        store.jobs.lease(lease.job_id, this_process())
        before = contents()
        writers: list[Callable[[], object]] = [
            lambda: store.jobs.renew(lease),
            lambda: store.jobs.release(lease),
            lambda: store.jobs.set_state(lease, JobState.DONE),
            lambda: store.jobs.set_preparation(lease, space={}, baseline={}),
            lambda: store.jobs.add_wall_time(lease, 1.0),
            lambda: store.trials.add(lease, 1, "random", True, [(9, candidates[7])]),
            lambda: store.trials.set_state(lease, candidate_id, TrialState.BUILDING),
            lambda: store.trials.finish(lease, candidate_id, TrialOutcome(TrialState.DONE, measurement={"n": 1})),
            lambda: store.trials.replace_measurement(
                lease, candidate_id, state=TrialState.DONE, metrics={}, measurement={"n": 1}, phase="final"
            ),
            lambda: store.trials.reset_open(lease),
            lambda: store.jobs.set_strategy_state(lease, {}),
            lambda: store.fronts.add(lease, {}),
        ]
        for write in writers:
            with pytest.raises(StaleLease) as caught:
                write()
            assert caught.value.exit_code == ParetuneError.exit_code == 4
            assert "took the job over" in caught.value.hint
        assert contents() == before

    def test_a_released_lease_writes_nothing(self, store: Store, lease: Lease, contents: Contents) -> None:
        store.jobs.release(lease)
        before = contents()
        with pytest.raises(StaleLease):
            store.jobs.renew(lease)
        with pytest.raises(StaleLease):
            store.jobs.set_state(lease, JobState.DONE)
        assert contents() == before

    def test_a_killed_controller_is_followed_at_once(
        self, database_url: str, store: Store, new_job: NewJob, start: Start
    ) -> None:
        job_id = new_job()
        child = start(database_url, job_id)
        assert _hear(child) == "ready"
        _say(child)
        assert _hear(child) == "1"
        with pytest.raises(JobBusy, match=f"process {child.pid}@"):
            store.jobs.lease(job_id, this_process())
        child.send_signal(signal.SIGKILL)
        child.wait()
        lease = store.jobs.lease(job_id, this_process())
        assert lease.epoch == 2
        with pytest.raises(StaleLease):
            store.jobs.set_state(Lease(job_id, 1), JobState.RUNNING)
        store.jobs.set_state(lease, JobState.RUNNING)

    def test_one_of_two_racing_controllers_wins(self, database_url: str, new_job: NewJob, start: Start) -> None:
        job_id = new_job()
        children = [start(database_url, job_id), start(database_url, job_id)]
        assert [_hear(child) for child in children] == ["ready", "ready"]
        for child in children:
            _say(child)
        assert sorted(_hear(child) for child in children) == ["1", "busy"]

    def test_threads_write_side_by_side(
        self, store: Store, lease: Lease, candidates: list[Candidate], new_job: NewJob
    ) -> None:
        failures: list[ParetuneError] = []

        def write(part: int) -> None:
            try:
                for number in (part, part + 4):
                    (trial,) = store.trials.add(lease, 0, "random", True, [(number, candidates[number])])
                    store.trials.finish(
                        lease, trial.candidate_id, TrialOutcome(TrialState.DONE, measurement={"n": number})
                    )
                    store.jobs.add_wall_time(lease, 1.0)
                    store.fronts.add(lease, {"part": part})
                    new_job(f"job of {part}")
            except ParetuneError as error:
                failures.append(error)

        threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        trials = store.trials.of_job(lease.job_id)
        assert [(trial.number, trial.state) for trial in trials] == [(n, TrialState.DONE) for n in range(8)]
        assert [store.trials.measurements(trial.candidate_id)[0]["record"]["n"] for trial in trials] == list(range(8))
        assert store.jobs.get(lease.job_id).wall_s == 8.0
        assert store.fronts.get(lease.job_id, version=8) is not None
        assert len(store.jobs.all()) == 9


class TestOwners:
    def test_this_process_lives(self) -> None:
        assert not is_dead(this_process())

    def test_another_host_is_never_known_to_have_died(self) -> None:
        assert not is_dead(this_process() | {"host": "elsewhere.example", "pid": 2**22 + 1})

    def test_a_process_id_nobody_has(self) -> None:
        pid = next(pid for pid in range(2**22, 2**22 + 100) if not psutil.pid_exists(pid))
        assert is_dead(this_process() | {"pid": pid})

    def test_a_process_id_that_was_given_again(self) -> None:
        owner = this_process()
        assert is_dead(owner | {"start_ticks": owner["start_ticks"] - 1})

    def test_a_stepped_clock_kills_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        owner = this_process()
        started = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: started(process) + 3600)
        assert not is_dead(owner)

    def test_nobody_outlives_a_boot(self) -> None:
        assert is_dead(this_process() | {"boot_id": "00000000-0000-0000-0000-000000000000"})

    def test_an_owner_of_an_earlier_version(self) -> None:
        owner = {name: this_process()[name] for name in ("host", "pid", "started")}
        assert not is_dead(owner)
        assert is_dead(owner | {"started": owner["started"] - 60})

    def test_a_system_that_tells_no_boot(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        before = this_process()
        monkeypatch.setattr("search.store.owner._BOOT_ID", tmp_path / "none")
        assert set(this_process()) == {"host", "pid", "started"}
        assert not is_dead(this_process())
        assert not is_dead(before)

    def test_a_zombie_has_died(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", ""])
        owner = owner_of(child.pid)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(owner)
        child.wait()
        assert is_dead(owner)
