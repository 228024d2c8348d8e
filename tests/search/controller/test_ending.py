"""A job that ends before its trials says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dashboards.documents.front import front_document
from dashboards.documents.jobs import job_document
from search.controller.controller import Controller
from search.controller.ending import ending_of
from search.controller.scheduler import REPEATS_UNTIL_EXHAUSTED
from search.job.spec import Budget
from search.store import Store

Submit = Callable[..., str]


@pytest.mark.parametrize(
    ("finished", "flags", "reason"),
    [
        (60, {"repeats": False, "late": True}, None),
        (16, {"repeats": True, "late": False}, "space"),
        (9, {"repeats": False, "late": True}, "time"),
        (9, {"repeats": True, "late": False}, "repeats"),
        (9, {"repeats": False, "late": False}, None),
    ],
)
def test_the_reason(finished: int, flags: dict[str, Any], reason: str | None) -> None:
    found = ending_of(Budget(trials=60, minutes=2.0), finished=finished, size=16, **flags)
    assert (found and found.reason) == reason


def test_a_space_that_is_smaller_than_the_budget(store: Store, new_job: Submit) -> None:
    job_id = new_job(space={"precision": {"choices": ["fp32", "int8"]}}, budget={"trials": 100})
    Controller(store, job_id).run()
    expected = {"reason": "space", "text": "all 16 candidates of the search space were tried"}
    assert job_document(store, job_id)["ending"] == front_document(store, job_id)["ending"] == expected


def test_a_strategy_that_repeats_itself(store: Store, new_job: Submit) -> None:
    """The space counts more assignments than there are different candidates to a strategy that has but a few."""
    job_id = new_job(
        budget={"trials": 300, "batch": 300},
        space={"precision": {"choices": ["fp32", "int8", "int8_dynamic", "int8_weight"]}},
        strategy={"name": "random"},
    )
    Controller(store, job_id).run()
    ending = job_document(store, job_id)["ending"]
    tried = len(store.trials.of_job(job_id))
    assert tried == 256 or ending["text"].startswith("the strategy proposed nothing new in 100 proposals in a row")
    assert REPEATS_UNTIL_EXHAUSTED == 100


def test_a_job_that_used_its_trials_says_nothing(store: Store, new_job: Submit) -> None:
    job_id = new_job()
    Controller(store, job_id).run()
    assert job_document(store, job_id)["ending"] is None
