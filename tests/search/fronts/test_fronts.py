"""The front of a job: members, contenders, the nearest miss, and the document that is stored."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from search.fronts.feasibility import judge
from search.fronts.front import front_of
from search.fronts.objectives import Constraint, Objective
from search.fronts.pareto import Entry
from search.states import TrialState
from search.store import TrialRow

OBJECTIVES = (Objective("cosine", "max"), Objective("speedup", "max"))
BASELINE = {"cosine": 1.0, "accuracy": 0.97, "size_bytes": 4000, "speedup": {"ratio": 1.0}}


def row(number: int, *, state: TrialState | None = None, constraints: tuple[str, ...] = (), **metrics: Any) -> TrialRow:
    """A trial as the scheduler would have left it."""
    reason = None
    if state is None:
        state, reason = judge(OBJECTIVES, tuple(map(Constraint.parse, constraints)), metrics, BASELINE)
    return TrialRow(
        candidate_id=f"id{number}", job_id="job", number=number, block=0, digest=f"digest{number}", decisions={},
        strategy="random", simulated=False, state=state, reason=reason, metrics=metrics, artifact_sha256=None,
        wall_s=0.0,
    )  # fmt: skip


def speedup(ratio: float, half_width: float = 0.01) -> dict[str, Any]:
    return {"ratio": ratio, "ci95": [ratio - half_width, ratio + half_width]}


def ids(entries: list[Entry]) -> list[str]:
    return [entry.candidate_id for entry in entries]


class TestMembers:
    ROWS = (
        row(0, cosine=1.0, speedup=speedup(1.0)),
        row(1, cosine=0.99, speedup=speedup(3.0)),
        row(2, cosine=0.98, speedup=speedup(2.0)),
        row(3, cosine=0.97, speedup=speedup(4.0)),
        row(4, state=TrialState.BUILD_FAILED),
        row(5, state=TrialState.BUILDING),
        row(6, state=TrialState.INFEASIBLE, cosine=1.0, speedup=speedup(9.0)),
    )

    def test_only_feasible_ones(self) -> None:
        front = front_of(self.ROWS, OBJECTIVES, (), BASELINE)
        assert ids(front.members) == ["id3", "id1", "id0"]
        assert front.contenders == {}
        assert front.nearest_miss is None

    def test_others_figures_decide_than_are_reported(self) -> None:
        """Trials 1 and 3 were chosen by 3.0 and 4.0, and then measured once more; trial 2 never was."""
        reported = [
            *self.ROWS[:1],
            row(1, cosine=0.99, speedup=speedup(2.8)),
            self.ROWS[2],
            row(3, cosine=0.97, speedup=speedup(2.79)),
        ]
        front = front_of(reported, OBJECTIVES, (), BASELINE, deciding=self.ROWS)
        assert ids(front.members) == ["id3", "id1", "id0"]
        assert [entry.metrics["speedup"]["ratio"] for entry in front.members] == [2.79, 2.8, 1.0]
        assert (front.document["fastest"], front.best_speedup) == ("id3", 2.79)
        assert front.document["hypervolume"]["value"] == pytest.approx(0.09 * 1.8)

    def test_one_that_the_reported_figures_clearly_refute_is_no_member(self) -> None:
        """Then another takes its place, which it had kept from it."""
        reported = [
            *self.ROWS[:3],
            row(3, cosine=0.97, speedup=speedup(2.5)),
            row(7, cosine=0.96, speedup=speedup(3.5)),
        ]
        deciding = [*self.ROWS[:4], reported[-1]]
        front = front_of(reported, OBJECTIVES, (), BASELINE, deciding=deciding)
        assert ids(front.members) == ["id7", "id1", "id0"]

    def test_one_whose_reported_figures_break_a_constraint_is_no_member(self) -> None:
        limits = ("speedup >= 3",)
        reported = [row(0, constraints=limits, cosine=0.9, speedup=speedup(2.9))]
        deciding = [row(0, constraints=limits, cosine=0.9, speedup=speedup(3.1))]
        front = front_of(reported, OBJECTIVES, tuple(map(Constraint.parse, limits)), BASELINE, deciding=deciding)
        assert front.members == []
        assert front.nearest_miss == {"candidate_id": "id0", "reason": "breaks speedup >= 3"}

    def test_members_that_were_not_measured_again_are_named(self) -> None:
        unconfirmed = {"id1": "no time was left", "id2": "no time was left"}
        front = front_of(self.ROWS, OBJECTIVES, (), BASELINE, unconfirmed=unconfirmed, final=True)
        assert front.document["unconfirmed"] == {"id1": "no time was left"}

    def test_the_document(self) -> None:
        front = front_of(self.ROWS, OBJECTIVES, (), BASELINE, final=True)
        assert front.document == {
            "objectives": [{"metric": "cosine", "direction": "max"}, {"metric": "speedup", "direction": "max"}],
            "hypervolume": {"value": 0.25, "reference": {"cosine": 0.9, "speedup": 1.0}},
            "members": ["id3", "id1", "id0"],
            "tied_with": {},
            "nearest_miss": None,
            "fastest": "id3",
            "unconfirmed": {},
            "final": True,
        }
        assert json.loads(json.dumps(front.document, allow_nan=False)) == front.document

    def test_smaller_may_be_better(self) -> None:
        rows = [row(0, cosine=1.0, speedup=1.0, size_bytes=4000), row(1, cosine=0.95, speedup=1.0, size_bytes=1000)]
        sizes = (Objective("cosine", "max"), Objective("size_bytes", "min"))
        front = front_of(rows, sizes, (), BASELINE)
        assert ids(front.members) == ["id1", "id0"]
        assert front.document["hypervolume"] == {
            "value": pytest.approx(0.05 * 3000),
            "reference": {"cosine": 0.9, "size_bytes": 4000.0},
        }

    def test_the_best_speedup(self) -> None:
        assert front_of(self.ROWS, OBJECTIVES, (), BASELINE).best_speedup == 4.0
        assert front_of([], OBJECTIVES, (), BASELINE).best_speedup is None
        assert front_of([row(0, cosine=1.0, size_bytes=9)], OBJECTIVES[:1], (), BASELINE).best_speedup is None


class TestContenders:
    ROWS = (
        row(0, cosine=0.99, speedup=speedup(3.0, 0.1)),
        row(1, cosine=0.99, speedup=speedup(2.9, 0.1)),
        row(2, cosine=0.99, speedup=speedup(2.5, 0.1)),
        row(3, cosine=0.99, speedup=speedup(2.95, 0.1)),
    )

    def test_dominated_ones_that_the_intervals_do_not_separate(self) -> None:
        front = front_of(self.ROWS, OBJECTIVES, (), BASELINE)
        assert ids(front.members) == ["id0"]
        assert front.contenders == {"id1": ["id0"], "id3": ["id0"]}
        assert front.document["tied_with"] == {"id0": ["id1", "id3"]}

    def test_identical_points(self) -> None:
        rows = [row(number, cosine=0.99, speedup=speedup(3.0)) for number in (7, 3)]
        front = front_of(rows, OBJECTIVES, (), BASELINE)
        assert ids(front.members) == ["id3"]
        assert front.contenders == {}


class TestNearestMiss:
    LIMITS = ("accuracy >= baseline - 0.01", "size_bytes <= 1000")

    def miss(self, *rows: TrialRow, constraints: tuple[str, ...] = LIMITS) -> dict[str, str] | None:
        front = front_of(rows, OBJECTIVES, tuple(map(Constraint.parse, constraints)), BASELINE)
        assert front.members == []
        assert front.document["nearest_miss"] == front.nearest_miss
        return front.nearest_miss

    def trial(self, number: int, **metrics: Any) -> TrialRow:
        shared = {"cosine": 0.99, "speedup": speedup(2.0), "accuracy": 0.97, "size_bytes": 900}
        return row(number, constraints=self.LIMITS, **shared | metrics)

    def test_the_one_that_breaks_least(self) -> None:
        assert self.miss(self.trial(0, accuracy=0.90), self.trial(1, accuracy=0.95), self.trial(2, accuracy=0.93)) == {
            "candidate_id": "id1",
            "reason": "breaks accuracy >= baseline - 0.01",
        }

    def test_units_are_no_matter(self) -> None:
        found = self.miss(self.trial(0, accuracy=0.48), self.trial(1, size_bytes=1010))
        assert found == {"candidate_id": "id1", "reason": "breaks size_bytes <= 1000"}

    def test_all_that_it_breaks(self) -> None:
        found = self.miss(self.trial(0, accuracy=0.9, size_bytes=2000))
        assert found is not None
        assert found["reason"] == "breaks accuracy >= baseline - 0.01; size_bytes <= 1000"

    def test_of_equals_the_first(self) -> None:
        found = self.miss(self.trial(4, size_bytes=2000), self.trial(2, size_bytes=2000))
        assert found is not None
        assert found["candidate_id"] == "id2"

    def test_a_missing_metric_is_the_farthest(self) -> None:
        lacking = row(0, constraints=self.LIMITS, cosine=0.99, speedup=math.nan, accuracy=0.97, size_bytes=900)
        found = self.miss(lacking, self.trial(1, accuracy=0.1, size_bytes=10**9))
        assert found is not None
        assert found["candidate_id"] == "id1"

    def test_where_nothing_else_was_measured(self) -> None:
        lacking = row(0, constraints=self.LIMITS, cosine=0.99, accuracy=0.97, size_bytes=900)
        assert self.miss(lacking) == {"candidate_id": "id0", "reason": "no value for speedup"}

    def test_a_constraint_on_a_metric_that_there_is_none_of(self) -> None:
        limits = ("nll <= 1",)
        lacking = row(0, constraints=limits, cosine=0.99, speedup=speedup(2.0))
        assert self.miss(lacking, constraints=limits) == {"candidate_id": "id0", "reason": "breaks nll <= 1"}

    @pytest.mark.parametrize("state", [TrialState.BUILD_FAILED, TrialState.CRASHED, TrialState.PENDING])
    def test_failures_do_not_miss(self, state: TrialState) -> None:
        assert self.miss(row(0, state=state)) is None

    def test_nothing_at_all(self) -> None:
        assert self.miss() is None
