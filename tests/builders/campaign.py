"""A campaign of kills against a whole service: server, workers, controllers, trials, agent, Ray and database.

Whatever is killed, every job ends with the candidates of an undisturbed one, and nothing measured is lost or doubled.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from command_line import COMMAND, ROOT, environment, wait_until
from inline_search import without_ray
from remote_host import BUILDERS, FAULTY_AGENT, free_port
from small_jobs import write_classifier, write_job

from hwprofiles.errors import StorageError
from search.controller.controller import Controller
from search.controller.submission import submit
from search.devices.lookup import DeviceRegistry
from search.job.spec import Job, load_job
from search.states import JobState
from search.store import Store, Submission, TrialRow

TRIALS = 60
LAYERS = 7
DEVICE = "board"
PATIENCE_S = 1800.0
"""After so long without an end a campaign counts as stuck."""

DAEMONS = "server", "worker", "agent"
VICTIMS = (*DAEMONS, "controller", "trial", "sandbox", "ray node", "connections")


@dataclass(frozen=True)
class Kill:
    """A kill of the campaign."""

    number: int
    at_s: float
    """Seconds since the campaign began."""
    victim: str
    process: str
    """The name of the killed process."""
    finished: int
    """Finished candidates at that moment."""
    jobs_done: int


@dataclass
class Daemon:
    """A process that is started again whenever it has ended, as a service manager does."""

    name: str
    command: Sequence[str | Path]
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def ensure(self) -> None:
        """Starts the process unless it runs."""
        if self.process is None or self.process.poll() is not None:
            with self.log.open("ab") as output:
                self.process = subprocess.Popen(
                    [*map(str, self.command)], env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    start_new_session=True,
                )  # fmt: skip
            self.starts += 1

    def end(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class Campaign:
    """Kills at random moments; ``folder`` holds everything, ``url`` is the database.

    ``cut_connections`` ends the database's connections; None for SQLite, whose file is then locked for a while.
    """

    folder: Path
    url: str
    seed: int
    cut_connections: Callable[[], None] | None = None
    pause_s: tuple[float, float] = (2.0, 12.0)
    """Shortest and longest time between two kills."""
    kills: list[Kill] = field(default_factory=list)
    jobs: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)
    """The candidates that each job must have, by job id; empty for a job of the agent, whose figures are measured."""
    _seen: dict[str, dict[int, TrialRow]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self._rng = random.Random(self.seed)
        self._store = Store(self.url)
        port = free_port()
        env = environment(self.home, PARETUNE_DB=self.url, TMPDIR=str(self.folder))
        agent_env = environment(
            self.folder / "agent", TMPDIR=str(self.folder), AGENT_FAULTS=str(self.folder / "faults"),
            PYTHONPATH=f"{ROOT}:{BUILDERS}",
        )  # fmt: skip
        for name in ("agent", "faults"):
            (self.folder / name).mkdir()
        token = self.folder / "token"
        token.write_text(self._store.agents.new_token(DEVICE))
        server = f"http://127.0.0.1:{port}"
        agent = [*FAULTY_AGENT, "--server", server, "--token-file", token, "--device", DEVICE]
        self.daemons = [
            Daemon("server", [*COMMAND, "serve", "--port", str(port)], env, self.folder / "server.log"),
            Daemon("worker", [*COMMAND, "worker"], env, self.folder / "worker-1.log"),
            Daemon("worker", [*COMMAND, "worker"], env, self.folder / "worker-2.log"),
            Daemon("agent", agent, agent_env, self.folder / "agent.log"),
        ]

    def add_jobs(self, simulated: int, measured: int, trials: int = TRIALS) -> None:
        """Submits jobs: ``simulated`` ones on a dry run, each with a seed of its own, and ``measured`` ones on the
        agent."""
        for seed in range(simulated):
            job, folder = self._load(f"dry-{seed}", seed=seed, budget={"trials": trials, "parallel": 1 + seed % 2})
            expected = self._undisturbed(job, folder)
            self.jobs[submit(self._store, job, folder, Submission(f"user-{seed % 3}"))] = expected
        if measured:
            self._keep_daemons()
            wait_until(self._agent_is_online, "the agent's registration", 0.2)
        for seed in range(measured):
            precision = {"precision": {"choices": ["fp32", "int8"], "activations": "uint8"}}
            job, folder = self._load(
                f"board-{seed}", seed=seed, devices=[DEVICE], budget={"trials": 4}, space=precision
            )
            self.jobs[submit(self._store, job, folder, Submission("user-b"))] = []

    def run(self, kills: int) -> list[Kill]:
        """Kills until so many are done or every job has ended, lets the rest end, and checks everything."""
        begun = time.monotonic()
        try:
            while len(self.kills) < kills and not self._all_ended():
                self._keep_daemons()
                self._wait(self._rng.uniform(*self.pause_s))
                victim = self._rng.choice(VICTIMS)
                name = self._kill(victim)
                if name is None:
                    continue
                self._check()
                finished = sum(map(len, self._seen.values()))
                done = sum(self._state(job_id) is JobState.DONE for job_id in self.jobs)
                self.kills.append(
                    Kill(len(self.kills) + 1, round(time.monotonic() - begun, 2), victim, name, finished, done)
                )
            deadline = time.monotonic() + PATIENCE_S
            while not self._all_ended():
                assert time.monotonic() < deadline, f"never ended: {self._states()}"
                self._keep_daemons()
                self._wait(1.0)
            self._check()
            self._check_ends()
        finally:
            for daemon in reversed(self.daemons):
                daemon.end()
            self._store.close()
        return self.kills

    def _load(self, name: str, **fields: Any) -> tuple[Job, Path]:
        folder = self.folder / name
        folder.mkdir()
        path = write_job(folder, **({"space": {"precision": {}}} | fields))
        write_classifier(folder, layers=3 if "devices" in fields else LAYERS)
        return load_job(path, DeviceRegistry(self._store)), folder

    def _undisturbed(self, job: Job, folder: Path) -> list[tuple[object, ...]]:
        with pytest.MonkeyPatch.context() as patch:
            without_ray(patch, prepare_here=True)
            job_id = submit(self._store, job, folder)
            assert Controller(self._store, job_id).run() is JobState.DONE
        return [_comparable(row) for row in self._store.trials.of_job(job_id)]

    def _agent_is_online(self) -> bool:
        row = self._store.agents.row(DEVICE)
        return row is not None and row.online

    def _keep_daemons(self) -> None:
        for daemon in self.daemons:
            daemon.ensure()

    def _wait(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            self._keep_daemons()

    def _kill(self, victim: str) -> str | None:
        """Kills a process of this kind, and returns its name; None if there is none at the moment."""
        if victim == "connections":
            return self._disturb_database()
        processes = self._processes(victim)
        if not processes:
            return None
        process = self._rng.choice(processes)
        try:
            name = process.name()
            process.kill()
        except psutil.NoSuchProcess:
            return None
        return name

    def _processes(self, victim: str) -> list[psutil.Process]:
        running = [daemon.process for daemon in self.daemons if daemon.name == victim and daemon.process is not None]
        if victim in DAEMONS:
            return [psutil.Process(process.pid) for process in running if process.poll() is None]
        families = []
        for daemon in self.daemons:
            if daemon.process is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    families += psutil.Process(daemon.process.pid).children(recursive=True)
        return [process for process in families if _is(process, victim)]

    def _disturb_database(self) -> str:
        if self.cut_connections is not None:
            self.cut_connections()
            return "postgres"
        file = self.url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(self._rng.uniform(0.2, 2.0))
            connection.execute("ROLLBACK")
        return "sqlite lock"

    def _check(self) -> None:
        """Nothing finished is lost or changed, no trial number or candidate is doubled."""
        for job_id in self.jobs:
            rows = self._again(lambda job_id=job_id: self._store.trials.of_job(job_id))
            finished = {row.number: row for row in rows if row.state.finished}
            assert len({row.number for row in rows}) == len(rows)
            assert len({row.digest for row in rows}) == len(rows)
            for number, row in self._seen.get(job_id, {}).items():
                assert number in finished, f"job {job_id} lost trial {number}"
                assert finished[number].digest == row.digest
            self._seen[job_id] = finished

    def _check_ends(self) -> None:
        failures = [self._history(job_id) for job_id in self.jobs if self._state(job_id) is not JobState.DONE]
        assert not failures, "\n".join(failures)
        for job_id, expected in self.jobs.items():
            rows = self._store.trials.of_job(job_id)
            assert [row.number for row in rows] == list(range(len(rows)))
            if expected:
                assert [_comparable(row) for row in rows] == expected, f"job {job_id} has other candidates"
            for row in rows:
                phases = Counter(record["phase"] for record in self._store.trials.measurements(row.candidate_id))
                assert all(count == 1 for count in phases.values()), f"{row.candidate_id} was measured twice: {phases}"

    def _history(self, job_id: str) -> str:
        """A job that has not ended well: its error, and the last lines of every log."""
        row = self._store.jobs.get(job_id)
        lines = [f"{line.at:%H:%M:%S} {line.text}" for line in self._store.logs.of_job(job_id)]
        logs = [*(daemon.log for daemon in self.daemons), *self.home.rglob(f"{job_id}/controller.log")]
        tails = [f"--- {log}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-80:]) for log in logs]
        return "\n".join(
            [f"{job_id} is {row.state}: {row.error}; {row.hint}; {row.losses} losses", *lines[-60:], *tails]
        )

    def _all_ended(self) -> bool:
        return all(state.ended for state in self._states().values())

    def _states(self) -> dict[str, JobState]:
        return {job_id: self._state(job_id) for job_id in self.jobs}

    def _state(self, job_id: str) -> JobState:
        return self._again(lambda: self._store.jobs.get(job_id)).state

    def _again(self, read: Callable[[], Any]) -> Any:
        """Reads again where the campaign itself has cut the connection."""
        for _ in range(5):
            with contextlib.suppress(StorageError):
                return read()
        return read()


def _is(process: psutil.Process, victim: str) -> bool:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    signs = {
        "controller": ("search.controller.process",),
        "trial": ("ray::",),
        "sandbox": ("sandbox_child", "multiprocessing"),
        "ray node": ("raylet", "gcs_server"),
    }
    return any(sign in line for sign in signs[victim])


def _comparable(row: TrialRow) -> tuple[object, ...]:
    return row.number, row.block, row.digest, str(row.state), row.reason, repr(row.metrics)
