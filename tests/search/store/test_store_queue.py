"""The queue of jobs: who is next, what is lost, paused, cancelled and waited for."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from hwprofiles import find_device
from hwprofiles.errors import InvalidInput, NotFound
from search.outcome import TrialOutcome
from search.space.candidate import Candidate
from search.states import JobRequest, JobState, TrialState
from search.store import JobBusy, JobRow, Lease, StaleLease, Store, Submission, queue, this_process
from search.store.columns import utc_now

ELSEWHERE = {"host": "elsewhere", "pid": 1, "started": 0.0}

Submit = Callable[..., str]


@pytest.fixture
def submit(store: Store) -> Submit:
    """Submits a job and returns its id."""

    def create(user: str = "ann", *, name: str = "digits", spec: dict[str, Any] | None = None, **more: Any) -> str:
        return store.jobs.create(
            name=name, spec=spec or {}, spec_folder="/jobs", profile=find_device("dry-run"),
            submission=Submission(submitted_by=user, **more),
        )  # fmt: skip

    return create


def take(store: Store, owner: dict[str, Any] | None = None) -> tuple[str, Lease] | None:
    taken = store.queue.take(owner or this_process())
    return None if taken is None else (taken[0].job_id, taken[1])


def taken_ids(store: Store, count: int) -> list[str]:
    ids = []
    for _ in range(count):
        taken = take(store)
        assert taken is not None
        ids.append(taken[0])
    return ids


def finish(store: Store, lease: Lease, state: JobState = JobState.DONE) -> None:
    store.jobs.set_state(lease, state)
    store.jobs.release(lease)


def expire(store: Store, lease: Lease) -> None:
    """Ends a lease's time, as if its holder had been silent."""
    store.jobs.renew(lease, -1.0)


class TestTaking:
    def test_a_taken_job_runs_and_nobody_else_gets_it(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        row, lease = store.queue.take(this_process()) or pytest.fail("nothing to take")
        assert (row.job_id, lease.job_id) == (job_id, job_id)
        assert store.jobs.get(job_id).state is JobState.RUNNING
        assert store.queue.take(this_process()) is None

    def test_a_job_that_a_command_runs_is_not_taken(self, store: Store, new_job: Callable[..., str]) -> None:
        new_job()
        assert store.queue.take(this_process()) is None
        assert store.queue.length() == 0

    def test_a_job_that_the_worker_cannot_run_is_left_to_others(self, store: Store, submit: Submit) -> None:
        first, second = submit(), submit()
        row, _ = store.queue.take(this_process(), lambda job: job.job_id != first) or pytest.fail("nothing")
        assert row.job_id == second
        assert store.jobs.get(first).state is JobState.QUEUED

    def test_many_jobs_that_nobody_can_run_hide_no_other(self, store: Store, submit: Submit) -> None:
        hidden = {submit() for _ in range(45)}
        last = submit()
        row, _ = store.queue.take(this_process(), lambda job: job.job_id not in hidden) or pytest.fail("nothing")
        assert row.job_id == last

    def test_the_highest_priority_comes_first_then_the_oldest(self, store: Store, submit: Submit) -> None:
        ids = [submit(priority=priority) for priority in (0, 5, 0, 5)]
        assert taken_ids(store, 4) == [ids[1], ids[3], ids[0], ids[2]]

    def test_threads_take_each_job_once(self, store: Store, submit: Submit) -> None:
        ids = {submit() for _ in range(24)}
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda _: take(store), range(32)))
        got = [each[0] for each in taken if each is not None]
        assert sorted(got) == sorted(ids)

    def test_processes_take_each_job_once(self, store: Store, database_url: str, submit: Submit) -> None:
        ids = {submit() for _ in range(20)}
        with multiprocessing.get_context("spawn").Pool(3) as pool:
            got = [job_id for part in pool.map(_take_all, [database_url] * 3) for job_id in part]
        assert sorted(got) == sorted(ids)


def _take_all(url: str) -> list[str]:
    got = []
    with Store(url) as store:
        while (taken := take(store)) is not None:
            got.append(taken[0])
    return got


class TestFairShare:
    def test_users_take_turns_whatever_they_have_queued(self, store: Store, submit: Submit) -> None:
        users = {"a": 30, "b": 12, "c": 4}
        owner_of = {submit(user): user for user, count in users.items() for _ in range(count)}
        turns = Counter(owner_of[job_id] for job_id in taken_ids(store, 12))
        assert turns == {"a": 4, "b": 4, "c": 4}

    def test_among_equals_the_one_who_used_less_is_next(self, store: Store, submit: Submit) -> None:
        first = submit("a")
        _, lease = take(store) or pytest.fail("nothing")
        store.jobs.add_wall_time(lease, 100.0)
        finish(store, lease)
        submit("a")
        second = submit("b")
        assert first != second
        assert taken_ids(store, 1) == [second]

    def test_long_jobs_count_by_their_time(self, store: Store, submit: Submit) -> None:
        owner_of = {submit(user): user for _ in range(40) for user in ("slow", "fast")}
        seconds = {"slow": 3.0, "fast": 1.0}
        used: Counter[str] = Counter()
        for _ in range(40):
            job_id, lease = take(store) or pytest.fail("nothing")
            store.jobs.add_wall_time(lease, seconds[owner_of[job_id]])
            used[owner_of[job_id]] += int(seconds[owner_of[job_id]])
            finish(store, lease)
        assert abs(used["slow"] - used["fast"]) <= 3

    def test_old_time_counts_less(
        self, store: Store, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:  # fmt: skip
        for user, seconds in (("old", 100.0), ("new", 60.0)):
            submit(user)
            _, lease = take(store) or pytest.fail("nothing")
            monkeypatch.setattr(
                "search.store.usage.utc_now", lambda user=user: utc_now() - timedelta(hours=user == "old")
            )
            store.jobs.add_wall_time(lease, seconds)
            finish(store, lease)
        monkeypatch.setattr("search.store.usage.utc_now", utc_now)
        submit("new")
        expected = submit("old")
        assert taken_ids(store, 1) == [expected]


class TestLostControllers:
    def test_an_expired_lease_returns_the_job(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        _, lease = take(store, ELSEWHERE) or pytest.fail("nothing")
        expire(store, lease)
        store.queue.return_lost()
        row = store.jobs.get(job_id)
        assert (row.state, row.losses) == (JobState.QUEUED, 1)
        with pytest.raises(StaleLease):
            store.jobs.set_state(lease, JobState.DONE)

    def test_a_dead_process_of_this_host_is_noticed_at_once(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        take(store, this_process() | {"pid": 2**22 + 1})
        store.queue.return_lost()
        assert store.jobs.get(job_id).state is JobState.QUEUED

    def test_who_knows_that_a_controller_has_ended_returns_its_job_at_once(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        _, lease = take(store, ELSEWHERE) or pytest.fail("nothing")
        store.queue.return_lost([Lease(job_id, lease.epoch - 1)])
        assert store.jobs.get(job_id).state is JobState.RUNNING
        store.queue.return_lost([lease])
        assert (store.jobs.get(job_id).state, store.jobs.get(job_id).losses) == (JobState.QUEUED, 1)

    def test_it_begins_again_after_a_pause(self, store: Store, submit: Submit) -> None:
        submit()
        _, lease = take(store) or pytest.fail("nothing")
        expire(store, lease)
        assert take(store) is None
        row = store.jobs.all()[0]
        assert row.retry_at is not None
        assert row.retry_at > utc_now()

    def test_after_too_many_losses_it_fails(
        self, store: Store, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:  # fmt: skip
        monkeypatch.setattr(queue, "RETRY_S", 0.0)
        job_id = submit()

        def lose() -> JobRow:
            _, lease = take(store) or pytest.fail("nothing")
            expire(store, lease)
            store.queue.return_lost()
            return store.jobs.get(job_id)

        for losses in range(1, 2 * queue.LOSSES_UNTIL_FAILED):
            row = lose()
            assert (row.state, row.losses) == (JobState.QUEUED, losses)  # within few minutes it may be the machine
        monkeypatch.setattr(queue, "LOSING_S_UNTIL_FAILED", 0.0)
        row = lose()
        assert row.state is JobState.FAILED
        assert "lost 10 times" in (row.error or "")
        store.queue.resume(job_id)
        assert taken_ids(store, 1) == [job_id]

    def test_progress_resets_the_count(
        self, store: Store, submit: Submit, monkeypatch: pytest.MonkeyPatch, candidates: list[Candidate]
    ) -> None:
        monkeypatch.setattr(queue, "RETRY_S", 0.0)
        job_id = submit()
        for number in range(3):
            _, lease = take(store) or pytest.fail("nothing")
            row = store.trials.add(lease, number, "random", True, [(number, candidates[number])])[0]
            store.trials.finish(lease, row.candidate_id, TrialOutcome(TrialState.DONE))
            expire(store, lease)
        store.queue.return_lost()
        assert store.jobs.get(job_id).losses == 1

    def test_what_was_asked_for_happens_also_without_the_controller(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        _, lease = take(store) or pytest.fail("nothing")
        assert store.queue.ask(job_id, JobRequest.CANCEL) is JobState.RUNNING
        expire(store, lease)
        store.queue.return_lost()
        assert store.jobs.get(job_id).state is JobState.CANCELLED

    def test_adopting_a_lease_keeps_the_job(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        _, lease = take(store) or pytest.fail("nothing")
        store.jobs.adopt(lease, this_process())
        store.queue.return_lost()
        assert store.jobs.get(job_id).state is JobState.RUNNING


class TestRequests:
    def test_a_queued_job_is_paused_and_cancelled_at_once(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        assert store.queue.ask(job_id, JobRequest.PAUSE) is JobState.PAUSED
        assert take(store) is None
        assert store.queue.ask(job_id, JobRequest.CANCEL) is JobState.CANCELLED
        assert store.queue.ask(job_id, JobRequest.CANCEL) is JobState.CANCELLED

    def test_a_running_job_learns_what_it_is_asked(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        _, lease = take(store) or pytest.fail("nothing")
        assert store.jobs.request_of(lease) is None
        assert store.queue.ask(job_id, JobRequest.PAUSE) is JobState.RUNNING
        assert store.jobs.request_of(lease) is JobRequest.PAUSE
        store.queue.ask(job_id, JobRequest.CANCEL)
        store.queue.ask(job_id, JobRequest.PAUSE)
        assert store.jobs.request_of(lease) is JobRequest.CANCEL
        finish(store, lease, JobState.CANCELLED)
        assert store.jobs.get(job_id).requested is None

    def test_a_paused_job_goes_on(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        store.queue.ask(job_id, JobRequest.PAUSE)
        store.queue.resume(job_id)
        assert taken_ids(store, 1) == [job_id]

    def test_an_ended_job_cannot_be_asked(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        _, lease = take(store) or pytest.fail("nothing")
        finish(store, lease)
        for request in (JobRequest.PAUSE, JobRequest.CANCEL):
            with pytest.raises(InvalidInput, match="is done already"):
                store.queue.ask(job_id, request)

    def test_a_running_job_is_not_resumed(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        take(store)
        with pytest.raises(InvalidInput, match="is running"):
            store.queue.resume(job_id)

    def test_an_interrupted_command_goes_on_in_a_worker(self, store: Store, new_job: Callable[..., str]) -> None:
        job_id = new_job()
        lease = store.jobs.lease(job_id, this_process())
        finish(store, lease, JobState.INTERRUPTED)
        store.queue.resume(job_id)
        assert taken_ids(store, 1) == [job_id]

    @pytest.mark.parametrize("call", ["ask", "resume"])
    def test_unknown_jobs(self, store: Store, call: str) -> None:
        with pytest.raises(NotFound):
            getattr(store.queue, call)("12345678", *([JobRequest.PAUSE] if call == "ask" else []))


class TestIdempotency:
    def test_one_key_of_a_user_makes_one_job(self, store: Store, submit: Submit) -> None:
        first = submit("ann", idempotency_key="k")
        assert submit("ann", idempotency_key="k") == first
        assert submit("bob", idempotency_key="k") != first
        assert len(store.jobs.all()) == 2

    def test_another_job_with_the_same_key_is_refused(self, store: Store, submit: Submit) -> None:
        submit(idempotency_key="k")
        with pytest.raises(InvalidInput, match="Idempotency-Key"):
            submit(idempotency_key="k", spec={"seed": 1})

    @pytest.mark.parametrize(
        ("other", "difference"),
        [({"priority": 0}, "has priority 3"), ({"project": "vision"}, "is in project 'default'"),
         ({"after": ()}, "waits for other jobs")],
    )  # fmt: skip
    def test_another_place_in_the_queue_with_the_same_key_is_refused(
        self, store: Store, submit: Submit, other: dict[str, Any], difference: str
    ) -> None:
        given = {"idempotency_key": "k", "priority": 3, "after": (submit(),)}
        assert submit(**given) == submit(**given)
        with pytest.raises(InvalidInput, match=f"which {difference}"):
            submit(**given | other)


class TestDependencies:
    def test_a_job_waits_for_another(self, store: Store, submit: Submit) -> None:
        first = submit()
        second = submit(after=(first,), priority=9)
        _, lease = take(store) or pytest.fail("nothing")
        assert lease.job_id == first
        assert take(store) is None
        finish(store, lease)
        assert taken_ids(store, 1) == [second]

    @pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
    def test_it_fails_with_the_job_that_it_waits_for(self, store: Store, submit: Submit, state: JobState) -> None:
        first = submit()
        second = submit(after=(first,))
        _, lease = take(store) or pytest.fail("nothing")
        finish(store, lease, state)
        assert take(store) is None
        row = store.jobs.get(second)
        assert row.state is JobState.FAILED
        assert row.error == f"job {first}, which it waits for, is {state}"

    def test_an_unknown_job_cannot_be_waited_for(self, store: Store, submit: Submit) -> None:
        with pytest.raises(NotFound):
            submit(after=("12345678",))


class TestDeleting:
    def test_nothing_of_it_stays(self, store: Store, submit: Submit, candidates: list[Candidate]) -> None:
        job_id = submit()
        _, lease = take(store) or pytest.fail("nothing")
        row = store.trials.add(lease, 0, "random", True, [(0, candidates[0])])[0]
        store.trials.finish(lease, row.candidate_id, TrialOutcome(TrialState.DONE, measurement={"n": 1}))
        store.fronts.add(lease, {"members": []})
        store.logs.add(lease, "searching")
        store.exports.add(row.candidate_id, "/tmp", "confirmed", {})
        finish(store, lease)
        store.jobs.delete(job_id)
        with pytest.raises(NotFound):
            store.jobs.get(job_id)
        with pytest.raises(NotFound):
            store.trials.get(row.candidate_id)

    def test_a_running_or_queued_job_stays(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        with pytest.raises(JobBusy, match="is queued"):
            store.jobs.delete(job_id)
        take(store)
        with pytest.raises(JobBusy, match="is running"):
            store.jobs.delete(job_id)

    def test_a_job_that_is_waited_for_stays(self, store: Store, submit: Submit) -> None:
        first = submit()
        second = submit(after=(first,))
        store.queue.ask(first, JobRequest.CANCEL)
        with pytest.raises(InvalidInput, match=f"job {second} waits"):
            store.jobs.delete(first)


class TestLogsAndWorkers:
    def test_lines_are_read_from_where_the_reader_was(self, store: Store, submit: Submit) -> None:
        job_id = submit()
        _, lease = take(store) or pytest.fail("nothing")
        for text in ("preparing", "searching", "done"):
            store.logs.add(lease, text)
        rows = store.logs.of_job(job_id)
        assert [row.text for row in rows] == ["preparing", "searching", "done"]
        assert [row.text for row in store.logs.of_job(job_id, after=rows[0].id, limit=1)] == ["searching"]
        with pytest.raises(NotFound):
            store.logs.of_job("12345678")

    def test_a_stale_lease_writes_no_line(self, store: Store, submit: Submit) -> None:
        submit()
        _, lease = take(store) or pytest.fail("nothing")
        store.jobs.release(lease)
        with pytest.raises(StaleLease):
            store.logs.add(lease, "too late")

    def test_workers_come_and_go(self, store: Store) -> None:
        worker_id = store.workers.add(this_process(), 2)
        assert [(row.worker_id, row.slots, row.online) for row in store.workers.all()] == [(worker_id, 2, True)]
        store.workers.stop(worker_id)
        assert not store.workers.all()[0].online
