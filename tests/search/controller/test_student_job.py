"""A job that searches for students by N2N, on the modelled device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inline_search import without_ray
from small_jobs import spec

from dashboards.documents.learning import learning_document
from search.controller.controller import Controller
from search.controller.scheduler import REWARDS
from search.controller.submission import submit
from search.job.spec import parse_job
from search.policies.sequence import SequencePolicy
from search.states import JobState
from search.store import Store

UPDATES_UNTIL_KILLED = 3


class _Killed(BaseException):
    """Ends the controller where it is."""


@pytest.fixture
def students(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Submits the job, and returns its id."""
    without_ray(monkeypatch, prepare_here=True)

    def submit_one() -> str:
        job = spec(
            task={"name": "digits", "options": {"preset": "bench", "depth": 14}}, space={"student": {}},
            recovery=None, strategy={"name": "n2n", "options": {"rollouts": 4, "removal": 12}},
            objectives=[{"metric": "accuracy", "direction": "max"}, {"metric": "parameters", "direction": "min"}],
            budget={"trials": 44},
        )  # fmt: skip
        return submit(store, parse_job(job, folder=tmp_path), tmp_path)

    return submit_one


def _outcome(store: Store, job_id: str) -> tuple[list[tuple[Any, ...]], Any]:
    rows = [(row.number, row.block, row.digest, row.state, row.metrics) for row in store.trials.of_job(job_id)]
    return rows, store.jobs.get(job_id).strategy_state


def test_a_controller_that_is_killed_within_an_update_changes_no_policy(
    store: Store, students: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = students()
    assert Controller(store, undisturbed).run() is JobState.DONE
    killed, update, updates = students(), SequencePolicy.update, []

    def update_partly(policy: SequencePolicy, *args: Any) -> None:
        update(policy, *args)
        updates.append(policy)
        if len(updates) == UPDATES_UNTIL_KILLED:
            raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(SequencePolicy, "update", update_partly)
        with pytest.raises(_Killed):
            Controller(store, killed).run()
    finished = [row for row in store.trials.of_job(killed) if row.state.finished]
    assert 0 < len(finished) < len(store.trials.of_job(undisturbed))
    monkeypatch.setattr("search.store.jobs.is_dead", lambda owner: True)  # the lease is this process's
    assert Controller(store, killed).run() is JobState.DONE
    rows, state = _outcome(store, undisturbed)
    assert _outcome(store, killed) == (rows, state)
    assert {"removal", "shrinkage"} <= state.keys()
    rewards = learning_document(store.jobs.get(killed))["rewards"]
    assert rewards == state[REWARDS]
    assert {row[0] for row in rows} >= {reward["trial"] for reward in rewards}
    assert {reward["policy"] for reward in rewards} == {"removal", "shrinkage"}
    assert min(reward["value"] for reward in rewards) < max(reward["value"] for reward in rewards)
