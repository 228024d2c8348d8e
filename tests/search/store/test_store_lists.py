"""Pages of jobs and candidates, and who sees which jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hwprofiles import find_device
from hwprofiles.errors import NotFound
from search.states import JobState, TrialState
from search.store import JobFilters, Lease, Sight, Store, Submission, TrialRow


@pytest.fixture
def submit(store: Store) -> Callable[..., str]:
    """Queues a job of a user in a project."""

    def create(user: str = "ada", project: str = "default", name: str = "net", devices: tuple[str, ...] = ()) -> str:
        profile = find_device("dry-run")
        labels = dict.fromkeys(devices, profile) or None
        return store.jobs.create(
            name=name, spec={}, spec_folder="/jobs", profile=profile, devices=labels,
            submission=Submission(user, project),
        )  # fmt: skip

    return create


class TestPages:
    def test_of_jobs_newest_first(self, store: Store, submit: Any) -> None:
        ids = [submit() for _ in range(5)][::-1]
        first = store.jobs.page(JobFilters(), 2)
        second = store.jobs.page(JobFilters(), 2, first[-1])
        third = store.jobs.page(JobFilters(), 2, second[-1])
        assert [*first, *second, *third] == ids == store.jobs.ids()
        assert store.jobs.page(JobFilters(), 2, third[-1]) == []
        with pytest.raises(NotFound):
            store.jobs.page(JobFilters(), 2, "ffffffff")

    def test_of_what_is_asked_for(self, store: Store, submit: Any) -> None:
        plain, ben = submit(), submit("ben", "vision", "other")
        two = submit(devices=("phone", 'a "b" %'))

        def ids(**filters: Any) -> set[str]:
            return set(store.jobs.page(JobFilters(**filters), 10))

        assert ids(user="ben") == ids(project="vision") == ids(name="other") == {ben}
        assert ids(device="phone") == ids(device='a "b" %') == {two}
        assert ids(device="dry-run") == {plain, ben}
        assert ids(device="pho") == ids(device="%") == ids(device='"') == set()
        assert ids(state=JobState.QUEUED, user="ada") == {plain, two}
        assert ids(state=JobState.DONE) == set()

    def test_of_candidates(self, store: Store, trials: list[TrialRow]) -> None:
        job_id, every = trials[0].job_id, list(TrialState)

        def numbers(*arguments: Any, **more: Any) -> list[int]:
            return [row.number for row in store.trials.page(job_id, *arguments, **more)]

        assert numbers(every, 3) == [0, 1, 2]
        assert numbers(every, 3, after=2) == [3]
        assert numbers(every, 3, down=True) == [3, 2, 1]
        assert numbers(every, 3, after=1, down=True) == [0]
        assert numbers([TrialState.DONE], 3) == []
        assert store.trials.by_state(job_id) == {TrialState.PENDING: 4}

    def test_some_of_the_candidates(self, store: Store, trials: list[TrialRow], new_job: Any) -> None:
        job_id = trials[0].job_id
        assert store.trials.some(job_id, [trials[2].candidate_id, "ffff"]) == [trials[2]]
        assert store.trials.with_digests(job_id, [trials[1].digest, "ffff"]) == [trials[1]]
        assert store.trials.some(new_job(), [trials[2].candidate_id]) == []


class TestSight:
    SIGHTS = (
        (Sight(), {"ada", "ben", "cy"}),
        (Sight("ada"), {"ada"}),
        (Sight("ada", frozenset({"vision"})), {"ada", "ben"}),
        (Sight("ada", frozenset({"vision"}), "vision"), {"ben"}),
        (Sight("dan"), set()),
        (Sight(None, only_project="audio"), {"cy"}),
    )

    @pytest.mark.parametrize(("sight", "users"), SIGHTS)
    def test_what_is_seen_is_found_and_nothing_else(
        self, store: Store, submit: Any, sight: Sight, users: set[str]
    ) -> None:
        jobs = {"ada": submit("ada"), "ben": submit("ben", "vision", "bens"), "cy": submit("cy", "audio", "cys")}
        assert set(store.jobs.page(JobFilters(sight=sight), 10)) == {jobs[user] for user in users}
        for user, job_id in jobs.items():
            for text in (job_id, job_id[:6], store.jobs.get(job_id).name):
                if user in users:
                    assert store.jobs.get(text, sight).job_id == job_id
                    assert store.jobs.version(text, sight).job_id == job_id
                else:
                    with pytest.raises(NotFound, match="there is no job"):
                        store.jobs.get(text, sight)

    def test_a_name_is_looked_for_among_what_is_seen(self, store: Store, submit: Any) -> None:
        mine, _ = submit("ada"), submit("ben")
        assert store.jobs.get("net", Sight("ada")).job_id == mine

    def test_candidates_of_others_do_not_exist(self, store: Store, trials: list[TrialRow]) -> None:
        trial = trials[1]
        for text in (trial.candidate_id, f"{trial.job_id}/1"):
            assert store.trials.get(text, Sight("local")) == trial
            with pytest.raises(NotFound):
                store.trials.get(text, Sight("ada"))

    @pytest.mark.parametrize("text", ["/", "x/", "/1", "net/99999999999999999999", "net/²", "net/-1"])
    def test_numbers_that_are_none(self, store: Store, trials: list[TrialRow], text: str) -> None:
        with pytest.raises(NotFound):
            store.trials.get(text)


def test_the_newest_measurement_of_a_job_is_in_its_version(
    store: Store, lease: Lease, trials: list[TrialRow], new_job: Any
) -> None:
    other = store.jobs.version(new_job())
    before = store.jobs.version(lease.job_id)
    store.trials.replace_measurement(
        lease, trials[0].candidate_id, state=TrialState.DONE, metrics={}, measurement={"n": 1}, phase="final"
    )
    after = store.jobs.version(lease.job_id)
    assert after.measurement > before.measurement == 0
    assert store.jobs.version(other.job_id) == other
    store.jobs.set_progress(lease, {"phase": "searching"})
    assert store.jobs.version(lease.job_id) != after
