"""Blocks of trials over a real store: the same candidates, whoever finishes first and whatever is killed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hwprofiles import find_device
from hwprofiles.errors import ParetuneError, UnhealthyMeasurement
from search.controller.scheduler import BLOCK, REPEATS_UNTIL_EXHAUSTED, Scheduler
from search.fronts.feasibility import judge
from search.fronts.objectives import Constraint, Objective
from search.outcome import TrialOutcome
from search.space.candidate import Candidate, Decision, Space
from search.states import TrialState
from search.store import Lease, StaleLease, Store, TrialRow, this_process, upgrade
from search.strategies import Nsga2, RandomSearch, Result, Strategy, StrategyOptions
from search.testing.strategies import context_of

SPACE = Space(
    tuple(
        Decision(f"precision:{number}", ("fp32", "int8", "int4"), "precision", target=str(number), scope="layer")
        for number in range(5)
    ),
    "context",
)
OBJECTIVES = (Objective("cosine", "max"), Objective("speedup", "max"))
CONSTRAINTS = (Constraint.parse("accuracy >= baseline - 0.01"), Constraint.parse("size_bytes <= 2000"))
BASELINE = {"cosine": 1.0, "accuracy": 0.97, "speedup": {"ratio": 1.0}, "size_bytes": 4000}

TRIALS = 20
BATCH = 6


def metrics_of(digest: str) -> dict[str, Any]:
    """What a candidate measures: any figures will do, but always the same."""
    a, b, c, d = (int(digest[i : i + 6], 16) / 2**24 for i in range(0, 24, 6))
    return {
        "cosine": 0.9 + 0.1 * a,
        "speedup": {"ratio": 1 + 3 * b, "ci95": [0.95 + 3 * b, 1.05 + 3 * b]},
        "accuracy": 0.95 + 0.02 * c,
        "size_bytes": int(1000 + 2000 * d),
    }


def work_on(scheduler: Scheduler, row: TrialRow) -> TrialRow:
    """One in six fails."""
    if int(row.digest[-4:], 16) % 6 == 0:
        return scheduler.finish(row, TrialOutcome(TrialState.BUILD_FAILED, reason="cannot be built"))
    return scheduler.finish(row, TrialOutcome(TrialState.DONE, metrics=metrics_of(row.digest)))


def work(scheduler: Scheduler, *, parallel: int = 1, seed: int | None = None, until: int | None = None) -> None:
    """Works on ``parallel`` trials at once, which finish in any order; after ``until`` it is as if it were killed."""
    rng = random.Random(seed)
    running: list[TrialRow] = []
    while until is None or len(scheduler.history) < until:
        while len(running) < parallel and (row := scheduler.next()) is not None:
            running.append(row)
        if not running:
            assert scheduler.is_over
            return
        chosen = 0 if seed is None else rng.randrange(len(running))
        work_on(scheduler, running.pop(chosen))


class Scripted(Strategy):
    """Asks for what it is told to, for ever the last, and remembers what it is told."""

    def __init__(self, script: Sequence[Candidate]) -> None:
        super().__init__(context_of(SPACE, constraints=2), StrategyOptions())
        self.script = list(script)
        self.asks = 0
        self.told: list[list[Result]] = []
        self.restored: list[tuple[int, dict[str, Any]]] = []

    @property
    def batch(self) -> int:
        return BATCH

    def ask(self) -> Candidate:
        self.asks += 1
        return self.script[min(self.asks, len(self.script)) - 1]

    def tell(self, results: Sequence[Result]) -> None:
        self.told.append(list(results))

    def state_dict(self) -> dict[str, Any]:
        return {"told": len(self.told)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.restored.append((len(self.told), state))


def candidates(count: int) -> list[Candidate]:
    found = []
    for number in range(count):
        values = [SPACE.decisions[0].choices[number // 3**place % 3] for place in range(len(SPACE.decisions))]
        found.append(SPACE.candidate({d.name: value for d, value in zip(SPACE.decisions, values, strict=True)}))
    return found


def opened(folder: Path) -> Store:
    url = f"sqlite:///{folder}/jobs.db"
    upgrade(url)
    return Store(url)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One for all tests: each has a job of its own."""
    with opened(tmp_path_factory.mktemp("store")) as found:
        yield found


def new_lease(store: Store) -> Lease:
    """The lease of a new job."""
    job_id = store.jobs.create(name="job", spec={}, spec_folder="/jobs", profile=find_device("dry-run"))
    return store.jobs.lease(job_id, this_process())


@pytest.fixture
def lease(store: Store) -> Lease:
    return new_lease(store)


def nsga2(seed: int = 0, space: Space = SPACE) -> Strategy:
    return Nsga2(context_of(space, constraints=2, seed=seed), Nsga2.Options(population=BATCH))


def scheduler(store: Store, lease: Lease, strategy: Strategy | None = None, **options: Any) -> Scheduler:
    fixed: dict[str, Any] = {
        "strategy_name": "nsga2",
        "batch": BATCH,
        "trials": TRIALS,
        "objectives": OBJECTIVES,
        "constraints": CONSTRAINTS,
        "baseline": BASELINE,
        "simulated": True,
    }
    return Scheduler(store, lease, strategy or nsga2(), **fixed | options)


SchedulerOf = Callable[..., Scheduler]


@pytest.fixture
def scheduler_of(store: Store) -> SchedulerOf:
    return partial(scheduler, store)


def recorded(store: Store, lease: Lease) -> list[tuple[Any, ...]]:
    return [
        (row.number, row.block, row.digest, row.decisions, row.state, row.reason, row.metrics)
        for row in store.trials.of_job(lease.job_id)
    ]


@pytest.fixture(scope="module")
def expected(store: Store) -> list[tuple[Any, ...]]:
    """What a job records that nothing disturbs."""
    lease = new_lease(store)
    work(scheduler(store, lease))
    return recorded(store, lease)


class TestBlocks:
    def test_a_whole_job(self, expected: list[tuple[Any, ...]]) -> None:
        assert [row[0] for row in expected] == list(range(TRIALS))
        assert [row[1] for row in expected] == [number // BATCH for number in range(TRIALS)]
        assert len({row[2] for row in expected}) == TRIALS
        assert {row[4] for row in expected} == {TrialState.DONE, TrialState.INFEASIBLE, TrialState.BUILD_FAILED}

    @pytest.mark.parametrize("parallel", [2, 4, 9])
    @pytest.mark.parametrize("seed", range(2))
    def test_who_finishes_first_is_no_matter(
        self,
        store: Store,
        lease: Lease,
        scheduler_of: SchedulerOf,
        expected: list[tuple[Any, ...]],
        parallel: int,
        seed: int,
    ) -> None:
        work(scheduler_of(lease), parallel=parallel, seed=seed)
        assert recorded(store, lease) == expected

    def test_the_next_block_waits_for_the_last_of_this_one(self, lease: Lease, scheduler_of: SchedulerOf) -> None:
        scheduler = scheduler_of(lease)
        rows = [scheduler.next() for _ in range(BATCH)]
        assert scheduler.next() is None
        for row in reversed(rows):
            assert not scheduler.is_over
            assert scheduler.next() is None
            assert row is not None
            work_on(scheduler, row)
        following = scheduler.next()
        assert following is not None
        assert (following.number, following.block) == (BATCH, 1)

    def test_results_are_told_in_the_order_asked(self, lease: Lease, scheduler_of: SchedulerOf) -> None:
        strategy = Scripted(candidates(12))
        scheduler = scheduler_of(lease, strategy, trials=12)
        work(scheduler, parallel=6, seed=1)
        assert [[result.candidate for result in block] for block in strategy.told] == [
            candidates(12)[:6],
            candidates(12)[6:],
        ]

    def test_what_is_told(self, lease: Lease, scheduler_of: SchedulerOf) -> None:
        strategy = Scripted(candidates(4))
        scheduler = scheduler_of(lease, strategy, trials=4)
        metrics = metrics_of("0" * 64) | {"accuracy": 0.96, "size_bytes": 2000}
        outcomes: list[tuple[TrialState, dict[str, Any]]] = [
            (TrialState.DONE, metrics),
            (TrialState.DONE, metrics | {"accuracy": 0.95, "size_bytes": 2500}),
            (TrialState.DONE, {name: value for name, value in metrics.items() if name != "cosine"}),
            (TrialState.CRASHED, {}),
        ]
        for state, measured in outcomes:
            row = scheduler.next()
            assert row is not None
            scheduler.finish(row, TrialOutcome(state, metrics=measured))
        (told,) = strategy.told
        assert [result.gains for result in told] == [(0.9, 1.0), (0.9, 1.0), None, None]
        assert [result.violations for result in told] == [
            (0.0, 0.0),
            (pytest.approx(0.01), 500.0),
            (0.0, 0.0),
            (1.0, 1.0),
        ]
        assert [result.feasible for result in told] == [True, False, False, False]

    def test_the_strategys_state_is_stored_after_each_block(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf
    ) -> None:
        scheduler = scheduler_of(lease, Scripted(candidates(12)), trials=12)
        assert store.jobs.get(lease.job_id).strategy_state is None
        work(scheduler, until=6)
        assert store.jobs.get(lease.job_id).strategy_state == {"told": 1, BLOCK: 1}
        work(scheduler)
        assert store.jobs.get(lease.job_id).strategy_state == {"told": 2, BLOCK: 2}

    def test_a_resumed_strategy_gets_the_state_back_that_was_saved(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf
    ) -> None:
        work(scheduler_of(lease, Scripted(candidates(18)), trials=18), until=12)
        resumed = Scripted(candidates(18))
        scheduler = scheduler_of(lease, resumed, trials=18)
        work(scheduler)
        assert resumed.restored == [(2, {"told": 2})]

    @pytest.mark.parametrize("trials", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
    def test_the_budget_is_met_exactly(self, lease: Lease, scheduler_of: SchedulerOf, trials: int) -> None:
        scheduler = scheduler_of(lease, trials=trials)
        work(scheduler, parallel=4, seed=0)
        assert [row.number for row in scheduler.history] == list(range(trials))
        assert scheduler.next() is None

    def test_a_smaller_budget_is_a_beginning(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf, expected: list[tuple[Any, ...]]
    ) -> None:
        work(scheduler_of(lease, trials=9))
        assert recorded(store, lease) == expected[:9]


class TestRecords:
    def test_a_trial_that_is_out_is_building(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        scheduler = scheduler_of(lease)
        row = scheduler.next()
        assert row is not None
        states = [trial.state for trial in store.trials.of_job(lease.job_id)]
        assert states == [TrialState.BUILDING] + [TrialState.PENDING] * (BATCH - 1)

    def test_all_of_a_result_is_stored(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        scheduler = scheduler_of(lease, strategy_name="mine", simulated=False)
        row = scheduler.next()
        assert row is not None
        metrics = metrics_of("0" * 64) | {"accuracy": 0.97}
        done = scheduler.finish(
            row,
            TrialOutcome(
                TrialState.DONE, metrics=metrics, artifact_sha256="f" * 64, measurement={"ratio": 2.0}, wall_s=1.5
            ),
        )
        stored = store.trials.get(row.candidate_id)
        assert (stored.state, stored.metrics, stored.artifact_sha256, stored.wall_s) == (
            TrialState.DONE, metrics, "f" * 64, 1.5,
        )  # fmt: skip
        assert (stored.strategy, stored.simulated) == ("mine", False)
        assert [measurement["record"] for measurement in store.trials.measurements(row.candidate_id)] == [
            {"ratio": 2.0}
        ]
        assert done == stored
        assert scheduler.history == [stored]

    def test_a_failure_keeps_its_reason(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        scheduler = scheduler_of(lease)
        row = scheduler.next()
        assert row is not None
        scheduler.finish(row, TrialOutcome(TrialState.TIMEOUT, reason="building: took longer than 5 s"))
        stored = store.trials.get(row.candidate_id)
        assert (stored.state, stored.reason) == (TrialState.TIMEOUT, "building: took longer than 5 s")

    def test_a_broken_constraint_is_the_reason(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        scheduler = scheduler_of(lease)
        row = scheduler.next()
        assert row is not None
        scheduler.finish(row, TrialOutcome(TrialState.DONE, metrics=metrics_of("f" * 64) | {"accuracy": 0.5}))
        stored = store.trials.get(row.candidate_id)
        assert stored.state is TrialState.INFEASIBLE
        assert stored.reason == "accuracy >= baseline - 0.01; size_bytes <= 2000"

    def test_who_lost_the_lease_writes_nothing(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        scheduler = scheduler_of(lease)
        row = scheduler.next()
        assert row is not None
        before = recorded(store, lease)
        store.jobs.release(lease)
        store.jobs.lease(lease.job_id, this_process())
        with pytest.raises(StaleLease):
            work_on(scheduler, row)
        with pytest.raises(StaleLease):
            scheduler.next()
        assert recorded(store, lease) == before


class TestRepeats:
    def test_they_are_answered_from_what_is_known_and_cost_no_trial(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf
    ) -> None:
        a, b, c, d = candidates(4)
        strategy = Scripted([a, a, b, a, c, c, b, d])
        scheduler = scheduler_of(lease, strategy, trials=4, batch=3)
        work(scheduler, parallel=3, seed=0)
        assert [row.digest for row in store.trials.of_job(lease.job_id)] == [x.digest for x in (a, b, c, d)]
        assert [[result.candidate for result in block] for block in strategy.told] == [[a, a, b, a, c], [c, b, d]]
        first = {result.candidate: result for block in strategy.told for result in block}
        assert all(result == first[result.candidate] for block in strategy.told for result in block)

    def test_a_failure_is_not_tried_again(self, lease: Lease, scheduler_of: SchedulerOf) -> None:
        a, b = candidates(2)
        strategy = Scripted([a, a, b, a])
        scheduler = scheduler_of(lease, strategy, trials=2, batch=2)
        for _ in range(2):
            row = scheduler.next()
            assert row is not None
            scheduler.finish(row, TrialOutcome(TrialState.OUT_OF_MEMORY, reason="too large"))
        assert [result.gains for result in strategy.told[0]] == [None, None, None]

    def test_after_a_hundred_in_a_row_the_space_is_exhausted(self, lease: Lease, scheduler_of: SchedulerOf) -> None:
        a, b = candidates(2)
        strategy = Scripted([a, b])
        scheduler = scheduler_of(lease, strategy)
        work(scheduler)
        assert len(scheduler.history) == 2
        assert scheduler.is_over
        assert strategy.asks == 2 + 2 * REPEATS_UNTIL_EXHAUSTED  # the first block, and an empty one

    def test_ninety_nine_are_not_enough(self, lease: Lease, scheduler_of: SchedulerOf) -> None:
        a, b, c = candidates(3)
        strategy = Scripted([a, *[a] * (REPEATS_UNTIL_EXHAUSTED - 1), b, *[b] * (REPEATS_UNTIL_EXHAUSTED - 1), c])
        scheduler = scheduler_of(lease, strategy, trials=3)
        work(scheduler)
        assert len(scheduler.history) == 3

    @pytest.mark.parametrize("kind", [Nsga2, RandomSearch])
    def test_a_space_smaller_than_the_budget_ends(
        self, lease: Lease, scheduler_of: SchedulerOf, kind: type[Strategy]
    ) -> None:
        space = Space(SPACE.decisions[:2], "context")
        scheduler = scheduler_of(lease, kind(context_of(space, constraints=2), kind.Options()), trials=1000, batch=4)
        work(scheduler, parallel=3, seed=0)
        assert len(scheduler.history) == space.size


class TestStopping:
    def test_before_the_first(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        scheduler = scheduler_of(lease)
        scheduler.stop()
        assert scheduler.next() is None
        assert scheduler.is_over
        assert store.trials.of_job(lease.job_id) == []

    @pytest.mark.parametrize("out", [1, 3, BATCH])
    @pytest.mark.parametrize("block", [0, 1])
    def test_those_that_are_out_may_finish(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf, out: int, block: int
    ) -> None:
        scheduler = scheduler_of(lease)
        work(scheduler, until=block * BATCH)
        rows = [row for _ in range(out) if (row := scheduler.next()) is not None]
        scheduler.stop()
        scheduler.stop()
        for row in rows:
            assert scheduler.next() is None
            assert not scheduler.is_over
            work_on(scheduler, row)
        assert scheduler.is_over
        assert scheduler.next() is None
        assert len(scheduler.history) == block * BATCH + out
        assert len(store.trials.of_job(lease.job_id)) == (block + 1) * BATCH

    @pytest.mark.parametrize("after", [0, 1, 4, BATCH, BATCH + 2])
    def test_a_job_that_was_stopped_goes_on_where_it_was(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf, expected: list[tuple[Any, ...]], after: int
    ) -> None:
        scheduler = scheduler_of(lease)
        work(scheduler, until=after)
        row = scheduler.next()
        scheduler.stop()
        assert row is not None
        work_on(scheduler, row)
        store.trials.reset_open(lease)
        work(scheduler_of(lease))
        assert recorded(store, lease) == expected


def taken_over(store: Store, lease: Lease) -> Lease:
    """The lease of another controller, as after the death of the first."""
    store.jobs.release(lease)
    again = store.jobs.lease(lease.job_id, this_process())
    store.trials.reset_open(again)
    return again


class TestResuming:
    @pytest.mark.parametrize("after", range(TRIALS + 1))
    def test_after_any_number_of_finished_trials(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf, expected: list[tuple[Any, ...]], after: int
    ) -> None:
        work(scheduler_of(lease), until=after)
        again = taken_over(store, lease)
        scheduler = scheduler_of(again)
        work(scheduler)
        assert recorded(store, again) == expected
        assert [row.number for row in scheduler.history] == list(range(TRIALS))

    @pytest.mark.parametrize("seed", range(4))
    def test_killed_again_and_again_with_several_at_work(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf, expected: list[tuple[Any, ...]], seed: int
    ) -> None:
        rng = random.Random(seed)
        done = 0
        while done < TRIALS:
            done = min(TRIALS, done + rng.randint(0, 5))
            work(scheduler_of(lease), parallel=rng.randint(1, 5), seed=seed, until=done)
            lease = taken_over(store, lease)
        work(scheduler_of(lease), parallel=3, seed=seed)
        assert recorded(store, lease) == expected

    def test_nothing_finished_is_done_again(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        work(scheduler_of(lease), until=10)
        scheduler = scheduler_of(taken_over(store, lease))
        row = scheduler.next()
        assert row is not None
        assert row.number == 10
        assert [trial.number for trial in scheduler.history] == list(range(10))

    def test_a_finished_job_has_nothing_to_do(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        work(scheduler_of(lease))
        before = recorded(store, lease)
        scheduler = scheduler_of(taken_over(store, lease))
        assert scheduler.next() is None
        assert scheduler.is_over
        assert recorded(store, lease) == before

    def test_repeats_do_not_shift_the_numbers(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        a, b, c, d, e = candidates(5)
        script = [a, a, b, a, c, c, b, d, a, e]
        work(scheduler_of(lease, Scripted(script), trials=5, batch=3), until=4)
        work(scheduler_of(taken_over(store, lease), Scripted(script), trials=5, batch=3))
        assert [row.digest for row in store.trials.of_job(lease.job_id)] == [x.digest for x in (a, b, c, d, e)]

    def test_figures_that_went_through_the_store_are_told_alike(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf
    ) -> None:
        first = Scripted(candidates(12))
        work(scheduler_of(lease, first, trials=12))
        again = Scripted(candidates(12))
        work(scheduler_of(taken_over(store, lease), again, trials=12))
        assert again.told == first.told
        assert json.dumps([result.gains for result in again.told[0]])

    @pytest.mark.parametrize(
        "other",
        [lambda: nsga2(seed=1), lambda: nsga2(space=Space(SPACE.decisions, "another context"))],
        ids=["seed", "context"],
    )
    def test_a_job_of_another_version_is_not_mixed_with_this_one(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf, other: Callable[[], Strategy]
    ) -> None:
        work(scheduler_of(lease), until=BATCH + 2)
        again = taken_over(store, lease)
        before = recorded(store, again)
        with pytest.raises(ParetuneError, match=r"trial \d+ is recorded as another candidate") as caught:
            work(scheduler_of(again, other()))
        assert "another version" in caught.value.hint
        assert recorded(store, again) == before


NOISE = UnhealthyMeasurement("the interval is still wide", "quieten the machine")


class TestPuttingOff:
    """A trial that the moment kept from a result stays pending, is told as missing, and is worked on again."""

    def noisy(self, scheduler: Scheduler, numbers: Collection[int], until: int | None = None) -> None:
        """Works in the order of trials; those of these ``numbers`` meet a noisy minute."""
        while until is None or len(scheduler.history) < until:
            row = scheduler.next()
            if row is None:
                return
            if row.number in numbers:
                scheduler.put_off(row, NOISE)
            else:
                work_on(scheduler, row)

    def test_it_is_told_as_missing_in_its_place(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        strategy = Scripted(candidates(12))
        scheduler = scheduler_of(lease, strategy, trials=12)
        self.noisy(scheduler, {2, 5})
        assert [result.missing for result in strategy.told[0]] == [False, False, True, False, False, True]
        assert [result.candidate for result in strategy.told[0]] == candidates(6)
        missing = strategy.told[0][2]
        assert (missing.gains, missing.violations, missing.feasible) == (None, (1.0, 1.0), False)
        assert scheduler.is_over
        assert [row.number for row in scheduler.history] == [0, 1, 3, 4, 6, 7, 8, 9, 10, 11]
        row = store.trials.of_job(lease.job_id)[2]
        assert (row.state, row.reason, row.metrics) == (TrialState.PENDING, NOISE.message, {})

    def test_one_asked_for_again_is_still_missing(self, lease: Lease, scheduler_of: SchedulerOf) -> None:
        a, b, c, d = candidates(4)
        strategy = Scripted([a, b, a, c, d])
        self.noisy(scheduler_of(lease, strategy, trials=4, batch=2), {0})
        assert [[result.missing for result in block] for block in strategy.told] == [
            [True, False],
            [True, False, False],
        ]

    @pytest.mark.parametrize("quiet", [True, False])
    def test_a_resumed_job_asks_for_the_same_and_measures_it_again(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf, quiet: bool
    ) -> None:
        """Whatever it comes to then: what was told is told again, and what was asked is asked again."""
        undisturbed = new_lease(store)
        self.noisy(scheduler_of(undisturbed), {1, 8})
        self.noisy(scheduler_of(lease), {1, 8}, until=13)
        again = taken_over(store, lease)
        scheduler = scheduler_of(again)
        self.noisy(scheduler, set() if quiet else {1, 8})
        rows, expected = (store.trials.of_job(one.job_id) for one in (again, undisturbed))
        assert [row.digest for row in rows] == [row.digest for row in expected]
        assert [row.state.finished for row in rows] == [quiet or row.number not in (1, 8) for row in rows]
        assert len(scheduler.history) == (TRIALS if quiet else TRIALS - 2)

    @pytest.mark.parametrize("seed", range(4))
    def test_killed_again_and_again(self, store: Store, lease: Lease, scheduler_of: SchedulerOf, seed: int) -> None:
        undisturbed = new_lease(store)
        self.noisy(scheduler_of(undisturbed), {0, 7, 14})
        rng = random.Random(seed)
        for _ in range(6):
            # What was put off is measured at the first, second, … time that it is handed out again.
            self.noisy(scheduler_of(lease), {0, 7, 14}, until=rng.randint(0, TRIALS - 3))
            lease = taken_over(store, lease)
        self.noisy(scheduler_of(lease), {0, 7, 14})
        lease = taken_over(store, lease)
        self.noisy(scheduler_of(lease), set())
        rows, expected = (store.trials.of_job(one.job_id) for one in (lease, undisturbed))
        assert [(row.number, row.digest) for row in rows] == [(row.number, row.digest) for row in expected]
        assert all(row.state.finished for row in rows)

    def test_before_its_block_closes_nothing_is_decided(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf, expected: list[tuple[Any, ...]]
    ) -> None:
        """A controller that dies then has told nobody: the figure of a second try counts like any other."""
        scheduler = scheduler_of(lease)
        row = scheduler.next()
        assert row is not None
        scheduler.put_off(row, NOISE)
        again = taken_over(store, lease)
        work(scheduler_of(again))
        assert recorded(store, again) == expected

    def test_several_in_a_row_stop_the_search(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf, expected: list[tuple[Any, ...]]
    ) -> None:
        strategy = Scripted(candidates(12))
        scheduler = scheduler_of(lease, strategy, trials=12)
        self.noisy(scheduler, {1, 2, 3})
        assert scheduler.is_over
        assert strategy.told == []
        assert scheduler.trouble is not None
        assert scheduler.trouble.message == (
            "3 candidates in a row could not be judged, the last since: the interval is still wide"
        )
        assert f"paretune resume {lease.job_id}" in scheduler.trouble.hint
        states = [row.state for row in store.trials.of_job(lease.job_id)]
        assert states.count(TrialState.PENDING) == 5

    def test_a_search_that_was_stopped_so_goes_on_as_if_nothing_had_been(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf, expected: list[tuple[Any, ...]]
    ) -> None:
        self.noisy(scheduler_of(lease), {1, 2, 3})
        again = taken_over(store, lease)
        work(scheduler_of(again))
        assert recorded(store, again) == expected

    def test_one_that_succeeds_in_between_breaks_the_row(self, lease: Lease, scheduler_of: SchedulerOf) -> None:
        scheduler = scheduler_of(lease)
        self.noisy(scheduler, {0, 1, 3, 4, 6, 7})
        assert scheduler.trouble is None
        assert len(scheduler.history) == TRIALS - 6

    def test_those_that_are_out_may_finish(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        scheduler = scheduler_of(lease)
        rows = [row for _ in range(5) if (row := scheduler.next()) is not None]
        for row in rows[:3]:
            scheduler.put_off(row, NOISE)
        assert not scheduler.is_over
        work_on(scheduler, rows[3])
        scheduler.put_off(rows[4], NOISE)
        assert scheduler.is_over
        assert scheduler.trouble is not None
        assert (store.jobs.get(lease.job_id).strategy_state or {}) == {}

    def test_what_is_out_of_time_forgets_the_rest_alone(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf
    ) -> None:
        scheduler = scheduler_of(lease)
        first, second = scheduler.next(), scheduler.next()
        assert first is not None
        assert second is not None
        scheduler.put_off(first, NOISE)
        scheduler.stop()
        store.trials.drop_open(lease)
        assert [(row.number, row.state) for row in store.trials.of_job(lease.job_id)] == [(0, TrialState.PENDING)]

    def test_trainings_are_compared_as_before(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        """Those of a trial that was put off would be there the second time, and change what is stopped early."""
        trained = {"training": {"figures": [0.5, 0.6], "stopped": False}}

        def play(noisy: Collection[int], lease: Lease) -> list[Any]:
            scheduler = scheduler_of(lease, trials=12)
            while (row := scheduler.next()) is not None:
                if row.number in noisy:
                    scheduler.put_off(row, NOISE)
                else:
                    scheduler.finish(row, TrialOutcome(TrialState.DONE, metrics=metrics_of(row.digest) | trained))
            return list(scheduler.earlier.trainings)

        before = play({1}, lease)
        assert play(set(), taken_over(store, lease)) == before
        assert len(before) == 11


class TestJudging:
    @pytest.mark.parametrize(
        ("metrics", "state", "reason"),
        [
            ({"cosine": 1, "speedup": 2, "accuracy": 0.96, "size_bytes": 2000}, TrialState.DONE, None),
            (
                {"cosine": 1, "speedup": 2, "accuracy": 0.95, "size_bytes": 2000},
                TrialState.INFEASIBLE,
                "accuracy >= baseline - 0.01",
            ),
            (
                {"cosine": 1, "speedup": 2, "accuracy": 0.96},
                TrialState.INFEASIBLE,
                "size_bytes <= 2000",
            ),
            ({"accuracy": 0.97, "size_bytes": 1}, TrialState.INFEASIBLE, "no value for cosine, speedup"),
            (
                {"cosine": float("nan"), "speedup": 2, "accuracy": 0.97, "size_bytes": 1},
                TrialState.INFEASIBLE,
                "no value for cosine",
            ),
            ({}, TrialState.INFEASIBLE, "no value for cosine, speedup"),
        ],
    )
    def test_by_hand(self, metrics: dict[str, Any], state: TrialState, reason: str | None) -> None:
        assert judge(OBJECTIVES, CONSTRAINTS, metrics, BASELINE) == (state, reason)


class TestKnown:
    """A candidate whose figures are known is a trial that nobody works on."""

    def test_it_is_finished_when_its_block_opens(self, store: Store, lease: Lease, scheduler_of: SchedulerOf) -> None:
        first, second = candidates(2)
        strategy = Scripted([first, second])
        known = {first.digest: metrics_of(first.digest)}
        found = scheduler_of(lease, strategy, trials=2, batch=2, premeasured=known, premeasured_sha256="f" * 64)
        found.begin()
        (done,) = found.history
        assert (done.digest, done.metrics) == (first.digest, metrics_of(first.digest))
        assert store.trials.get(done.candidate_id).artifact_sha256 == "f" * 64, "or its export would disagree"
        row = found.next()
        assert row is not None
        assert row.digest == second.digest
        work_on(found, row)
        assert [result.candidate.digest for block in strategy.told for result in block] == [
            first.digest, second.digest,
        ]  # fmt: skip

    def test_it_is_there_when_there_is_no_time_for_others(
        self, store: Store, lease: Lease, scheduler_of: SchedulerOf
    ) -> None:
        first, second = candidates(2)
        found = scheduler_of(
            lease, Scripted([first, second]), batch=2, premeasured={first.digest: metrics_of(first.digest)}
        )
        found.begin()
        found.stop()
        assert found.next() is None
        assert found.is_over
        assert [row.digest for row in found.history] == [first.digest]

    def test_a_block_of_nothing_else_is_told_at_once(self, lease: Lease, scheduler_of: SchedulerOf) -> None:
        (only,) = candidates(1)
        strategy = Scripted([only])
        found = scheduler_of(lease, strategy, trials=1, batch=1, premeasured={only.digest: metrics_of(only.digest)})
        assert found.next() is None
        assert found.is_over
        assert len(strategy.told) == 1
