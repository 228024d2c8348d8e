"""Connections: what is cut, refused or late is an error with a hint, and the next call works."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from command_line import environment
from databases import Databases
from sqlalchemy import select, update

from hwprofiles import Profile, find_device
from hwprofiles.errors import ParetuneError, StorageError
from search.states import JobRequest, JobState
from search.store import Lease, Store, Submission, this_process
from search.store.engine import open_engine
from search.store.models import Job
from search.store.statements import register
from search.store.transactions import Transactions
from search.store.usage import usage_of

NewJob = Callable[..., str]


@pytest.fixture
def transactions(store: Store) -> Transactions:
    return Transactions(store._engine)


def _run_together(*calls: Callable[[], object]) -> list[ParetuneError]:
    """Runs each call in a thread; returns what they raised."""
    errors: list[ParetuneError] = []

    def attempt(call: Callable[[], object]) -> None:
        try:
            call()
        except ParetuneError as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
class TestLostConnections:
    def test_a_server_that_was_started_anew_is_not_noticed(
        self, databases: Databases, store: Store, lease: Lease
    ) -> None:
        databases.server.restart()
        store.jobs.set_state(lease, JobState.RUNNING)
        databases.server.restart()
        assert store.jobs.get(lease.job_id).state is JobState.RUNNING

    def test_a_server_that_is_down(self, databases: Databases, store: Store, lease: Lease) -> None:
        calls = (lambda: store.jobs.get(lease.job_id), lambda: store.jobs.renew(lease), lambda: Store(store.url))
        databases.server.stop()
        try:
            for call in calls:
                with pytest.raises(StorageError, match=r"connection to server .* failed") as caught:
                    call()
                assert caught.value.hint.startswith("check that the server runs")
        finally:
            databases.server.start()
        store.jobs.renew(lease)
        assert store.jobs.get(lease.job_id).lease_until is not None

    def test_a_connection_cut_within_a_transaction_writes_nothing(
        self, databases: Databases, store: Store, transactions: Transactions, lease: Lease
    ) -> None:
        def write() -> None:
            with transactions.holding(lease) as connection:
                register(connection, find_device("dry-run", 2, 8))
                databases.server.cut_connections(store._engine.url.database or "")
                connection.execute(select(Job.job_id))

        with pytest.raises(StorageError) as caught:
            write()
        assert "\n" not in caught.value.message
        assert caught.value.hint.startswith("check that the server runs")
        assert [profile.threads for _, profile in store.devices.all()] == [1]
        store.jobs.renew(lease)

    def test_the_url_may_say_how_long_to_wait(self, database_url: str) -> None:
        with Store(f"{database_url}&connect_timeout=3") as store:
            assert store.jobs.all() == []
        engine = open_engine(f"{database_url}&connect_timeout=3")
        with engine.connect() as connection:
            assert connection.connection.dbapi_connection.info.get_parameters()["connect_timeout"] == "3"
        engine.dispose()


class TestSideBySide:
    def test_a_reader_sees_one_state_throughout(
        self, transactions: Transactions, store: Store, new_job: NewJob
    ) -> None:
        with transactions.reading() as connection:
            before = connection.execute(select(Job.job_id)).all()
            new_job()
            assert connection.execute(select(Job.job_id)).all() == before

    def test_jobs_on_the_same_devices_in_any_order_do_not_block_one_another(self, store: Store) -> None:
        profiles = [replace(find_device("dry-run"), device=name) for name in "abcdefgh"]

        def create(profiles: list[Profile]) -> None:
            devices = {profile.device: profile for profile in profiles}
            for _ in range(5):
                store.jobs.create(name="digits", spec={}, spec_folder="", profile=profiles[0], devices=devices)

        assert _run_together(lambda: create(profiles), lambda: create(profiles[::-1])) == []
        assert len(store.jobs.all()) == 10

    def test_submissions_with_one_key_make_one_job(self, store: Store) -> None:
        submission = Submission(idempotency_key="k")

        def submit() -> str:
            return store.jobs.create(
                name="digits", spec={}, spec_folder="", profile=find_device("dry-run"), submission=submission
            )

        with ThreadPoolExecutor(6) as pool:
            assert len({job.result() for job in [pool.submit(submit) for _ in range(12)]}) == 1

    def test_the_time_of_a_user_s_jobs_adds_up(self, store: Store, transactions: Transactions) -> None:
        leases = [_run_detached(store) for _ in range(6)]
        assert _run_together(*(partial(store.jobs.add_wall_time, lease, 10.0) for lease in leases)) == []
        with transactions.reading() as connection:
            assert usage_of(connection) == {"local": pytest.approx(60.0, rel=0.01)}

    def test_requests_do_not_block_one_another(self, store: Store) -> None:
        ids = [_run_detached(store).job_id for _ in range(6)]

        def ask(ids: list[str]) -> None:
            for job_id in ids * 4:
                store.queue.ask(job_id, JobRequest.PAUSE)

        assert _run_together(lambda: ask(ids), lambda: ask(ids[::-1]), lambda: ask(ids[3:] + ids[:3])) == []
        assert [store.jobs.get(job_id).state for job_id in ids] == [JobState.RUNNING] * 6


def _run_detached(store: Store) -> Lease:
    store.jobs.create(
        name="digits", spec={}, spec_folder="", profile=find_device("dry-run"), submission=Submission()
    )  # fmt: skip
    taken = store.queue.take(this_process())
    assert taken is not None
    return taken[1]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")
def test_a_process_that_closes_a_database_leaves_the_files_of_others(tmp_path: Path) -> None:
    """SQLite removes its side files with the last connection, which it knows by locks; closing a handle drops them."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    with Store(url) as store:
        with ThreadPoolExecutor(4) as pool:  # several connections at once
            list(pool.map(lambda _: (store.workers.add({"pid": 1}, 1), time.sleep(0.1)), range(4)))
        code = f"from search.store import Store\nwith Store({url!r}) as store: store.workers.all()"
        subprocess.run([sys.executable, "-c", code], env=environment(tmp_path), check=True)
        files = [
            str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink() and path.exists()
        ]
        assert [name for name in files if name.endswith("(deleted)") and "jobs.db" in name] == []
        assert (tmp_path / "jobs.db-wal").exists()


class TestInterrupts:
    def test_an_interrupt_in_a_transaction_is_raised_after_its_end(
        self, transactions: Transactions, store: Store, new_job: NewJob
    ) -> None:
        job_id = new_job()
        steps: list[str] = []

        def interrupt() -> None:
            with transactions.writing() as connection:
                connection.execute(update(Job).where(Job.job_id == job_id).values(name="renamed"))
                signal.raise_signal(signal.SIGINT)
                steps.append("went on")

        with pytest.raises(KeyboardInterrupt):
            interrupt()
        assert steps == ["went on"]
        assert store.jobs.get(job_id).name == "renamed"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_a_second_interrupt_ends_a_transaction_that_waits(self, transactions: Transactions, store: Store) -> None:
        def insist() -> None:
            with transactions.writing():
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            insist()
        store.projects.add("writable")
