"""Versions: equal as long as nothing of a job has changed, and then only what changed is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from search.outcome import TrialOutcome
from search.space.candidate import Candidate
from search.states import JobState, TrialState
from search.store import Lease, Store, TrialRow, is_orphan, this_process
from search.store.columns import utc_now

Change = Callable[[Store, Lease, list[TrialRow], list[Candidate]], object]
RECORD = {"n": 1}

CHANGES: dict[str, Change] = {
    "state": lambda store, lease, rows, _: store.jobs.set_state(lease, JobState.RUNNING),
    "prepared": lambda store, lease, rows, _: store.jobs.set_preparation(lease, space={}, baseline={}),
    "time": lambda store, lease, rows, _: store.jobs.add_wall_time(lease, 1.0),
    "lease": lambda store, lease, rows, _: store.jobs.renew(lease, 60.0),
    "begun": lambda store, lease, rows, _: store.trials.set_state(lease, rows[0].candidate_id, TrialState.BUILDING),
    "failed": lambda store, lease, rows, _: store.trials.finish(
        lease, rows[0].candidate_id, TrialOutcome(TrialState.TIMEOUT)
    ),
    "more": lambda store, lease, rows, more: store.trials.add(lease, 1, "random", True, [(4, more[4])]),
    "dropped": lambda store, lease, rows, _: store.trials.drop_open(lease),
    "front": lambda store, lease, rows, _: store.fronts.add(lease, {}),
    "measured": lambda store, lease, rows, _: store.trials.finish(
        lease, rows[0].candidate_id, TrialOutcome(TrialState.DONE, metrics={"cosine": 1.0}, measurement=RECORD)
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_is_another_version(
    store: Store, lease: Lease, trials: list[TrialRow], candidates: list[Candidate], name: str
) -> None:
    before, known = (
        store.jobs.version(lease.job_id),
        {row.candidate_id: row for row in store.trials.of_job(lease.job_id)},
    )
    assert store.jobs.version(lease.job_id[:6]) == before
    CHANGES[name](store, lease, trials, candidates)
    assert store.jobs.version(lease.job_id) != before
    assert store.trials.since(before, known) == store.trials.of_job(lease.job_id)


def test_a_second_measurement_is_noticed_though_no_state_changes(
    store: Store, lease: Lease, trials: list[TrialRow]
) -> None:
    for row in trials:
        store.trials.finish(
            lease, row.candidate_id, TrialOutcome(TrialState.DONE, metrics={"cosine": 1.0}, measurement=RECORD)
        )
    before, known = (
        store.jobs.version(lease.job_id),
        {row.candidate_id: row for row in store.trials.of_job(lease.job_id)},
    )
    store.trials.replace_measurement(
        lease, trials[2].candidate_id, state=TrialState.DONE, metrics={"cosine": 0.5}, measurement={}, phase="final"
    )
    assert store.jobs.version(lease.job_id) != before
    assert store.trials.since(before, known) == store.trials.of_job(lease.job_id)


def test_what_is_finished_and_unchanged_is_not_read_again(store: Store, lease: Lease, trials: list[TrialRow]) -> None:
    store.trials.finish(
        lease, trials[0].candidate_id, TrialOutcome(TrialState.DONE, metrics={"cosine": 1.0}, measurement=RECORD)
    )
    before, known = (
        store.jobs.version(lease.job_id),
        {row.candidate_id: row for row in store.trials.of_job(lease.job_id)},
    )
    found = {row.candidate_id: row for row in store.trials.since(before, known)}
    assert found[trials[0].candidate_id] is known[trials[0].candidate_id]
    assert found[trials[1].candidate_id] is not known[trials[1].candidate_id]


class TestOrphans:
    def test_a_job_of_a_living_process_is_none(self, store: Store, lease: Lease) -> None:
        assert not is_orphan(store.jobs.get(lease.job_id))
        store.jobs.set_state(lease, JobState.RUNNING)
        assert not is_orphan(store.jobs.get(lease.job_id))

    def test_one_whose_process_has_died_is(self, store: Store, new_job: Callable[..., str]) -> None:
        lease = store.jobs.lease(new_job(), this_process() | {"pid": 2**22 + 1})
        store.jobs.set_state(lease, JobState.RUNNING)
        assert is_orphan(store.jobs.get(lease.job_id))
        store.jobs.set_state(lease, JobState.DONE)
        assert not is_orphan(store.jobs.get(lease.job_id))

    @pytest.mark.parametrize(("lease_s", "orphaned"), [(60.0, False), (-1.0, True)])
    def test_of_another_host_the_lease_tells(
        self, store: Store, new_job: Callable[..., str], lease_s: float, orphaned: bool
    ) -> None:
        lease = store.jobs.lease(new_job(), {"host": "elsewhere", "pid": 1, "started": 0.0}, lease_s)
        store.jobs.set_state(lease, JobState.RUNNING)
        until = store.jobs.get(lease.job_id).lease_until
        assert until is not None
        assert abs(until - utc_now() - timedelta(seconds=lease_s)) < timedelta(seconds=30)
        assert is_orphan(store.jobs.get(lease.job_id)) is orphaned
