"""Pages of candidates, their counts and verdicts: what is read in place of all candidates says the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, text

from search.outcome import TrialOutcome
from search.space.candidate import Candidate
from search.states import JobState, TrialState
from search.store import Lease, Store, TrialRow
from search.store.models import Figure, TrialCount

SPEEDUPS = (2.0, 5.0, None, 5.0, 1.0, 3.0, 4.0, 2.0)
"""Of the eight candidates by number; the third has failed."""

MEASURED = (TrialState.DONE, TrialState.INFEASIBLE)
FAST = [1, 3, 6, 5, 7, 0, 4]
"""Their numbers, the fastest first, equal ones the highest first."""


def record(verdict: str | None, digest: str = "p") -> dict[str, Any]:
    health = None if verdict is None else {"verdict": verdict, "reasons": []}
    return {"profile_digest": digest, "samples_ms": [1.0] * 5, "health": health}


def finish(store: Store, lease: Lease, row: TrialRow, speedup: float | None, **more: Any) -> None:
    state = TrialState.TIMEOUT if speedup is None else TrialState.INFEASIBLE if speedup < 2 else TrialState.DONE
    metrics = {} if speedup is None else {"speedup": {"ratio": speedup, "ci95": [1, 9]}, "cosine": 1, "notes": ["a"]}
    store.trials.finish(lease, row.candidate_id, TrialOutcome(state, metrics=metrics, **more))


@pytest.fixture
def rows(store: Store, lease: Lease, candidates: list[Candidate]) -> list[TrialRow]:
    """Eight candidates with results."""
    rows = store.trials.add(lease, 0, "random", False, list(enumerate(candidates)))
    for row, speedup in zip(rows, SPEEDUPS, strict=True):
        finish(store, lease, row, speedup)
    return rows


class TestPages:
    @pytest.fixture
    def page(self, store: Store, lease: Lease, rows: list[TrialRow]) -> Callable[..., list[int]]:
        def page(states: tuple[TrialState, ...] = tuple(TrialState), limit: int = 10, **options: Any) -> list[int]:
            return [row.number for row in store.trials.page(lease.job_id, states, limit, **options)]

        return page

    def test_by_number(self, page: Callable[..., list[int]]) -> None:
        assert page() == list(range(8))
        assert page(limit=3) == [0, 1, 2]
        assert page(limit=3, after=2) == [3, 4, 5]
        assert page(limit=3, down=True) == [7, 6, 5]
        assert page(limit=3, down=True, after=5) == [4, 3, 2]
        assert page(after=7) == []
        assert page((TrialState.TIMEOUT,)) == [2]
        assert page((TrialState.INFEASIBLE, TrialState.TIMEOUT), after=2) == [4]

    def test_by_a_metric(self, page: Callable[..., list[int]]) -> None:
        fastest = FAST[1::-1] + FAST[2:]
        assert page(metric="speedup", down=True) == fastest
        assert page(metric="speedup") == fastest[::-1]
        assert page(metric="cosine") == [0, 1, 3, 4, 5, 6, 7]
        for place in range(len(fastest)):
            assert page(metric="speedup", down=True, after=fastest[place], limit=2) == fastest[place + 1 : place + 3]
        assert page((TrialState.DONE,), metric="speedup", limit=2) == [0, 7]
        assert page((TrialState.TIMEOUT, TrialState.INFEASIBLE), metric="speedup") == [4]

    def test_of_what_has_no_figure(self, store: Store, lease: Lease, page: Callable[..., list[int]]) -> None:
        assert page(metric="speedup", after=2) == []
        assert page(metric="notes") == page(metric="size_bytes") == []
        assert store.trials.has_figures(lease.job_id, "speedup")
        assert not store.trials.has_figures(lease.job_id, "notes")
        assert not store.trials.has_figures("00000000", "speedup")

    def test_a_later_measurement_moves_a_candidate(
        self, store: Store, lease: Lease, rows: list[TrialRow], page: Callable[..., list[int]]
    ) -> None:
        store.trials.replace_measurement(
            lease, rows[1].candidate_id, state=TrialState.DONE, metrics={"speedup": {"ratio": 0.5}}, measurement={},
            phase="final",
        )  # fmt: skip
        assert page(metric="speedup")[0] == 1
        assert page(metric="cosine") == [0, 3, 4, 5, 6, 7]
        store.trials.set_state(lease, rows[1].candidate_id, TrialState.BUILDING)
        assert page(metric="speedup")[0] == 4

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    @pytest.mark.parametrize(
        ("ask", "index"),
        [
            (lambda store, row: store.trials.some(row.job_id, [row.candidate_id]), "candidate_id=?"),
            (lambda store, row: store.trials.page(row.job_id, MEASURED, 2), "COVERING INDEX ix_trials_job_id_state"),
            (lambda store, row: store.trials.page(row.job_id, MEASURED, 2, metric="cosine"), "INDEX ix_figures_job_id"),
            (lambda store, row: store.trials.by_state(row.job_id), "trial_counts_1 (job_id=?)"),
            (lambda store, row: store.trials.verdicts([row.candidate_id]), "candidate_id=?"),
        ],
        ids=["some", "page", "sorted", "counts", "verdicts"],
    )  # fmt: skip
    def test_none_reads_all_candidates(
        self, store: Store, rows: list[TrialRow], ask: Callable[[Store, TrialRow], object], index: str
    ) -> None:
        statements: list[tuple[str, Any]] = []
        event.listen(store._engine, "before_cursor_execute", lambda *of: statements.append((of[2], of[3])))
        ask(store, rows[0])
        plans = []
        for statement, parameters in [each for each in statements if each[0].startswith("SELECT")]:
            with store._engine.connect() as connection:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans.append([row[3] for row in plan])
        assert index in plans[0][0]
        assert not any(step.startswith("SCAN") for plan in plans for step in plan)


class TestCounts:
    @pytest.fixture
    def check(self, store: Store, lease: Lease) -> Callable[[], None]:
        def check() -> None:
            assert store.trials.by_state(lease.job_id) == Counter(
                row.state for row in store.trials.of_job(lease.job_id)
            )

        return check

    def test_they_follow_every_change(
        self, store: Store, lease: Lease, candidates: list[Candidate], check: Callable[[], None]
    ) -> None:
        assert store.trials.by_state(lease.job_id) == {}
        rows = store.trials.add(lease, 0, "random", False, list(enumerate(candidates[:5])))
        check()
        store.trials.set_state(lease, rows[0].candidate_id, TrialState.BUILDING)
        store.trials.set_state(lease, rows[0].candidate_id, TrialState.BUILDING)
        check()
        finish(store, lease, rows[0], 2.0)
        finish(store, lease, rows[1], None)
        store.trials.put_off(lease, rows[2].candidate_id, "noise")
        store.trials.set_state(lease, rows[3].candidate_id, TrialState.BUILDING)
        check()
        store.trials.replace_measurement(
            lease, rows[0].candidate_id, state=TrialState.INFEASIBLE, metrics={}, measurement={}, phase="final"
        )
        check()
        store.trials.reset_open(lease)
        check()
        store.trials.add(lease, 1, "random", False, [(5, candidates[5])])
        store.trials.drop_open(lease)
        check()
        assert store.trials.by_state(lease.job_id) == {
            TrialState.INFEASIBLE: 1, TrialState.TIMEOUT: 1, TrialState.PENDING: 1,
        }  # fmt: skip

    def test_a_removed_job_leaves_none(self, store: Store, lease: Lease, rows: list[TrialRow]) -> None:
        store.jobs.set_state(lease, JobState.DONE)
        store.jobs.release(lease)
        store.jobs.delete(lease.job_id)
        with store._engine.connect() as connection:
            for table in (Figure, TrialCount):
                assert connection.execute(text(f"SELECT count(*) FROM {table.__tablename__}")).scalar_one() == 0


def test_verdicts_are_those_of_each_measurement(store: Store, lease: Lease, trials: list[TrialRow]) -> None:
    first, second, third, _ = trials
    finish(store, lease, first, 2.0, measurement=record("quiet"), further_measurements=(record("noisy", "q"),))
    finish(store, lease, second, 2.0, measurement=record(None))
    store.trials.replace_measurement(
        lease, first.candidate_id, state=TrialState.DONE, metrics={}, measurement={"n": 1}, phase="final"
    )
    ids = [row.candidate_id for row in (first, second, third)]
    assert store.trials.verdicts(ids) == {
        first.candidate_id: [("p", "quiet"), ("q", "noisy"), (None, None)],
        second.candidate_id: [("p", None)],
    }
    assert store.trials.verdicts([]) == {}
