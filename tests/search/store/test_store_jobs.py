"""Jobs: what is stored comes back, and is found by id, prefix and name."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hwprofiles import find_device
from hwprofiles.errors import NotFound, StorageError
from search.states import JobState
from search.store import Lease, Store, digests_of

NewJob = Callable[..., str]


class TestJobs:
    def test_a_new_job_is_queued_and_complete(self, store: Store, new_job: NewJob) -> None:
        before = datetime.now(UTC)
        job_id = new_job("digits", zebra=1, ant=[1.5, None])
        job = store.jobs.get(job_id)
        assert re.fullmatch("[0-9a-f]{8}", job_id)
        assert (job.job_id, job.name, job.state, job.spec_folder) == (job_id, "digits", JobState.QUEUED, "/jobs")
        assert list(job.spec.items()) == [("zebra", 1), ("ant", [1.5, None])]
        assert (job.device, job.profile_digest) == ("dry-run", find_device("dry-run").digest)
        assert (job.space, job.baseline, job.strategy_state, job.error, job.hint) == (None,) * 5
        assert (job.started_at, job.finished_at, job.wall_s) == (None, None, 0.0)
        assert before <= job.created_at <= datetime.now(UTC)
        assert job.created_at.utcoffset() == timedelta(0)

    def test_its_devices_are_kept_with_their_profiles(self, store: Store) -> None:
        one, other = find_device("dry-run"), find_device("dry-run", 2, 8)
        devices = {"dry-run-t1-b1": one, "dry-run-t2-b8": other}
        job = store.jobs.get(store.jobs.create(name="two", spec={}, spec_folder="/", profile=one, devices=devices))
        assert digests_of(job) == {"dry-run-t1-b1": one.digest, "dry-run-t2-b8": other.digest}
        assert (job.device, job.profile_digest) == ("dry-run-t1-b1", one.digest)
        assert [store.devices.profile(digest) for digest in digests_of(job).values()] == [one, other]
        assert store.devices.all() == [("dry-run", one)]

    def test_one_of_an_earlier_version_had_one_device(self, store: Store, new_job: NewJob) -> None:
        job = store.jobs.get(new_job())
        assert digests_of(replace(job, devices=None)) == digests_of(job) == {"dry-run": find_device("dry-run").digest}

    def test_ids_that_exist_are_not_given_twice(
        self, store: Store, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids = iter(["0000aaaa", "0000aaaa", "0000aaab"])
        monkeypatch.setattr("secrets.token_hex", lambda _: next(ids))
        assert [new_job(), new_job()] == ["0000aaaa", "0000aaab"]

    def test_listing_is_newest_first(self, store: Store, new_job: NewJob) -> None:
        ids = [new_job(f"job {n}") for n in range(5)]
        assert [job.job_id for job in store.jobs.all()] == ids[::-1]

    def test_prefixes(self, store: Store, new_job: NewJob, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = iter(["12340000", "1234ffff", "abcd0000"])
        monkeypatch.setattr("secrets.token_hex", lambda _: next(ids))
        for _ in range(3):
            new_job()
        assert store.jobs.get("12340000").job_id == "12340000"
        assert store.jobs.get("1234f").job_id == "1234ffff"
        assert store.jobs.get("AB").job_id == "abcd0000"
        with pytest.raises(NotFound, match=r"job '1234' is ambiguous: 12340000, 1234ffff$"):
            store.jobs.get("1234")

    def test_an_ambiguous_prefix_names_five_at_most(
        self, store: Store, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        numbers = itertools.count()
        monkeypatch.setattr("secrets.token_hex", lambda _: f"{next(numbers):08x}")
        for _ in range(7):
            new_job()
        with pytest.raises(NotFound, match=r"0{7}0, 0{7}1, 0{7}2, 0{7}3, 0{7}4, …$") as caught:
            store.jobs.get("0")
        assert caught.value.hint == "give more digits of the id"

    def test_a_name_means_its_newest_job(self, store: Store, new_job: NewJob) -> None:
        new_job("my net")
        newest = new_job("my net")
        new_job("my other net")
        assert store.jobs.get("my net").job_id == newest

    def test_a_name_of_hex_digits_is_read_before_beginnings_of_ids(
        self, store: Store, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids = iter(["beef0001", "beef0002", "12345678"])
        monkeypatch.setattr("secrets.token_hex", lambda _: next(ids))
        new_job("net")
        new_job("net")
        new_job("beef")
        assert store.jobs.get("beef").job_id == "12345678"
        assert store.jobs.get("beef0001").job_id == "beef0001"
        monkeypatch.undo()
        new_job("beef0001")
        assert store.jobs.get("BEEF0001").job_id == "beef0001"

    @pytest.mark.parametrize("text", ["nowhere", "", "%", "0_000000", "00000000000", "digit"])
    def test_unknown_jobs_say_where_to_look(self, store: Store, new_job: NewJob, text: str) -> None:
        new_job("digits")
        with pytest.raises(NotFound) as caught:
            store.jobs.get(text)
        assert caught.value.message == f"there is no job {text!r}"
        assert caught.value.hint == "list them with: paretune jobs"

    def test_times_follow_the_state(self, store: Store, lease: Lease) -> None:
        store.jobs.set_state(lease, JobState.RUNNING)
        first = store.jobs.get(lease.job_id)
        assert first.state is JobState.RUNNING
        assert first.started_at is not None
        assert first.finished_at is None
        for state in (JobState.INTERRUPTED, JobState.FAILED, JobState.DONE):
            store.jobs.set_state(lease, state)
            ended = store.jobs.get(lease.job_id)
            assert ended.state is state
            assert ended.started_at == first.started_at
            assert ended.finished_at is not None
            assert ended.finished_at >= first.started_at
            store.jobs.set_state(lease, JobState.RUNNING)
            again = store.jobs.get(lease.job_id)
            assert (again.started_at, again.finished_at) == (first.started_at, None)

    def test_an_error_stays_until_the_next_state(self, store: Store, lease: Lease) -> None:
        store.jobs.set_state(lease, JobState.FAILED, error="the task raised", hint="mend it")
        failed = store.jobs.get(lease.job_id)
        assert (failed.error, failed.hint) == ("the task raised", "mend it")
        store.jobs.set_state(lease, JobState.RUNNING)
        again = store.jobs.get(lease.job_id)
        assert (again.error, again.hint) == (None, None)

    def test_any_text_can_be_an_error(self, store: Store, lease: Lease) -> None:
        store.jobs.set_state(lease, JobState.FAILED, error="a\0b\udcffc é 漢")
        assert store.jobs.get(lease.job_id).error == "a\N{REPLACEMENT CHARACTER}b?c é 漢"

    def test_preparation_and_wall_time(self, store: Store, lease: Lease) -> None:
        store.jobs.set_preparation(
            lease, space={"decisions": []}, baseline={"metrics": {"size_bytes": 2**40}, "facts": {}}
        )
        store.jobs.add_wall_time(lease, 1.5)
        store.jobs.add_wall_time(lease, 0.25)
        job = store.jobs.get(lease.job_id)
        assert job.space == {"decisions": []}
        assert job.baseline == {"metrics": {"size_bytes": 2**40}, "facts": {}}
        assert job.wall_s == 1.75

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
    def test_what_is_not_a_number_is_refused(self, store: Store, lease: Lease, number: float) -> None:
        with pytest.raises(StorageError, match="cannot be stored as JSON"):
            store.jobs.set_preparation(lease, space={"a": 1}, baseline={"metrics": {"accuracy": number}})
        assert store.jobs.get(lease.job_id).space is None

    def test_what_json_cannot_hold_is_refused(self, store: Store, new_job: NewJob) -> None:
        with pytest.raises(StorageError, match="cannot be stored as JSON"):
            new_job("digits", path={1, 2})
        assert store.jobs.all() == []
        assert store.devices.all() == []
