"""Versions: equal as long as nothing of a job has changed, and then only what changed is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from search.space.candidate import Candidate
from search.states import JobState, TrialState
from search.store import Lease, Store, TrialRow, is_orphan, this_process
from search.store.columns import utc_now

Change = Callable[[Store, Lease, list[TrialRow], list[Candidate]], object]
RECORD = {"n": 1}

CHANGES: dict[str, Change] = {
    "state": lambda store, lease, rows, _: store.set_job_state(lease, JobState.RUNNING),
    "prepared": lambda store, lease, rows, _: store.set_preparation(lease, space={}, baseline={}),
    "time": lambda store, lease, rows, _: store.add_wall_time(lease, 1.0),
    "lease": lambda store, lease, rows, _: store.renew(lease, 60.0),
    "begun": lambda store, lease, rows, _: store.set_trial_state(lease, rows[0].candidate_id, TrialState.BUILDING),
    "failed": lambda store, lease, rows, _: store.finish_trial(lease, rows[0].candidate_id, TrialState.TIMEOUT),
    "more": lambda store, lease, rows, more: store.add_trials(lease, 1, "random", True, [(4, more[4])]),
    "dropped": lambda store, lease, rows, _: store.drop_open_trials(lease),
    "front": lambda store, lease, rows, _: store.add_front(lease, {}),
    "measured": lambda store, lease, rows, _: store.finish_trial(
        lease, rows[0].candidate_id, TrialState.DONE, metrics={"cosine": 1.0}, measurement=RECORD
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_is_another_version(
    store: Store, lease: Lease, trials: list[TrialRow], candidates: list[Candidate], name: str
) -> None:
    before, known = store.job_version(lease.job_id), {row.candidate_id: row for row in store.trials(lease.job_id)}
    assert store.job_version(lease.job_id[:6]) == before
    CHANGES[name](store, lease, trials, candidates)
    assert store.job_version(lease.job_id) != before
    assert store.trials_since(before, known) == store.trials(lease.job_id)


def test_a_second_measurement_is_noticed_though_no_state_changes(
    store: Store, lease: Lease, trials: list[TrialRow]
) -> None:
    for row in trials:
        store.finish_trial(lease, row.candidate_id, TrialState.DONE, metrics={"cosine": 1.0}, measurement=RECORD)
    before, known = store.job_version(lease.job_id), {row.candidate_id: row for row in store.trials(lease.job_id)}
    store.replace_measurement(
        lease, trials[2].candidate_id, state=TrialState.DONE, metrics={"cosine": 0.5}, measurement={}, phase="final"
    )
    assert store.job_version(lease.job_id) != before
    assert store.trials_since(before, known) == store.trials(lease.job_id)


def test_what_is_finished_and_unchanged_is_not_read_again(store: Store, lease: Lease, trials: list[TrialRow]) -> None:
    store.finish_trial(lease, trials[0].candidate_id, TrialState.DONE, metrics={"cosine": 1.0}, measurement=RECORD)
    before, known = store.job_version(lease.job_id), {row.candidate_id: row for row in store.trials(lease.job_id)}
    found = {row.candidate_id: row for row in store.trials_since(before, known)}
    assert found[trials[0].candidate_id] is known[trials[0].candidate_id]
    assert found[trials[1].candidate_id] is not known[trials[1].candidate_id]


class TestOrphans:
    def test_a_job_of_a_living_process_is_none(self, store: Store, lease: Lease) -> None:
        assert not is_orphan(store.job(lease.job_id))
        store.set_job_state(lease, JobState.RUNNING)
        assert not is_orphan(store.job(lease.job_id))

    def test_one_whose_process_has_died_is(self, store: Store, new_job: Callable[..., str]) -> None:
        lease = store.lease_job(new_job(), this_process() | {"pid": 2**22 + 1})
        store.set_job_state(lease, JobState.RUNNING)
        assert is_orphan(store.job(lease.job_id))
        store.set_job_state(lease, JobState.DONE)
        assert not is_orphan(store.job(lease.job_id))

    @pytest.mark.parametrize(("lease_s", "orphaned"), [(60.0, False), (-1.0, True)])
    def test_of_another_host_the_lease_tells(
        self, store: Store, new_job: Callable[..., str], lease_s: float, orphaned: bool
    ) -> None:
        lease = store.lease_job(new_job(), {"host": "elsewhere", "pid": 1, "started": 0.0}, lease_s)
        store.set_job_state(lease, JobState.RUNNING)
        until = store.job(lease.job_id).lease_until
        assert until is not None
        assert abs(until - utc_now() - timedelta(seconds=lease_s)) < timedelta(seconds=30)
        assert is_orphan(store.job(lease.job_id)) is orphaned
