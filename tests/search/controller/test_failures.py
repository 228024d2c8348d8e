"""When nothing works a job ends early, failed, with what the candidates say of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.controller.failures import IN_A_ROW, AllFailed, Failures, check_some_work
from search.states import FAILED, TrialState, states_of
from search.store import TrialRow

BROKEN, SLOW = TrialState.BUILD_FAILED, TrialState.TIMEOUT


def rows(*states: TrialState, reason: str = "no net.pt") -> list[TrialRow]:
    """The baseline, which works, and candidates in these states."""
    row = TrialRow("c0", "j", 0, 0, "baseline", {}, "random", False, TrialState.DONE, None, {}, None, 0.0)
    return [row, *(replace(row, digest=f"d{n}", state=state, reason=reason) for n, state in enumerate(states))]


@pytest.mark.parametrize(
    ("states", "hopeless"),
    [
        ([BROKEN] * IN_A_ROW, True),
        ([BROKEN] * (IN_A_ROW - 1), False),
        ([TrialState.DONE, *[BROKEN] * IN_A_ROW], False),
        ([TrialState.INFEASIBLE, *[BROKEN] * IN_A_ROW], False),
        ([BROKEN, *[SLOW] * IN_A_ROW], True),
        ([BROKEN, SLOW] * IN_A_ROW, False),
        ([TrialState.STOPPED] * IN_A_ROW, False),
        ([TrialState.UNHEALTHY_MEASUREMENT] * IN_A_ROW, False),
    ],
)
def test_hopeless_is_several_of_one_kind_and_no_success(states: list[TrialState], hopeless: bool) -> None:
    failures = Failures("baseline")
    for row in rows(*states):
        failures.add(row)
    assert failures.hopeless is hopeless


def test_the_most_frequent_reasons_are_named_with_their_counts() -> None:
    found = [*rows(BROKEN, BROKEN, BROKEN), *rows(SLOW, reason="took longer than 300 s")]
    with pytest.raises(AllFailed) as caught:
        check_some_work(found, "baseline")
    assert caught.value.message == (
        "every candidate failed (4): 3 x build_failed: no net.pt; 1 x timeout: took longer than 300 s"
    )
    assert "paretune candidates" in caught.value.hint
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("states", [[], [TrialState.DONE, BROKEN], [TrialState.PENDING], [TrialState.STOPPED]])
def test_a_job_in_which_something_works_or_nothing_was_tried_has_not_failed(states: list[TrialState]) -> None:
    check_some_work(rows(*states), "baseline")


def test_names_of_states() -> None:
    assert states_of(None) == frozenset(TrialState)
    assert states_of("done") == {TrialState.DONE}
    assert BROKEN in (states_of(FAILED) or ())
    assert TrialState.INFEASIBLE not in (states_of(FAILED) or ())
    assert states_of("broken") is None
