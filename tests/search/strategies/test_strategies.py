"""What every strategy promises: members of the space, the uniform assignments first, and the same again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from search.fronts.pareto import hypervolume
from search.space.candidate import Candidate, Decision, Space
from search.strategies import STRATEGIES, Fliqs, Nsga2, RandomSearch, Result, Sensitivity, Strategy
from search.strategies.random import screen_draws

PRECISIONS = ("fp32", "int8", "int4")
SPACE = Space(
    (
        *(Decision(f"precision:{number}", PRECISIONS, "precision") for number in range(6)),
        Decision("graph", ("plain", "fused"), "graph"),
    ),
    "context",
)
ONE_DECISION = Space((Decision("graph", ("plain", "fused"), "graph"),), "context")

COSTS = {"fp32": 1.0, "int8": 0.4, "int4": 0.3, "plain": 0.0, "fused": -0.1}
LOSSES = {"fp32": 0.0, "int8": 0.1, "int4": 0.5, "plain": 0.0, "fused": 0.0}


def toy_gains(candidate: Candidate) -> tuple[float, float]:
    """Quality and speed. Layers differ in what they cost and lose, so that uniform assignments are not the best."""
    quality = speed = 0.0
    for number, (_, value) in enumerate(candidate.values):
        quality -= LOSSES[value] * 2.0 ** (number - 3)
        speed -= COSTS[value] * 2.0 ** (2 - number)
    return quality, speed


def toy_result(candidate: Candidate) -> Result:
    """Some fail, some are infeasible, most are fine; the digest decides."""
    kind = int(candidate.digest[:4], 16) % 8
    if kind == 0:
        return Result(candidate, None, (1.0,))
    if kind == 1:
        return Result(candidate, toy_gains(candidate), (0.25,))
    if kind == 2:
        return Result(candidate, toy_gains(candidate), (math.inf,))
    return Result(candidate, toy_gains(candidate), (0.0,))


def play(strategy: Strategy, blocks: int, result: Any = toy_result) -> list[str]:
    """Digests of all that it asks for."""
    asked = []
    for _ in range(blocks):
        block = [strategy.ask() for _ in range(strategy.batch)]
        asked += [candidate.digest for candidate in block]
        strategy.tell([result(candidate) for candidate in block])
    return asked


class StrategyContract:
    """A new strategy subclasses this."""

    kind: ClassVar[type[Strategy]]

    def make(self, space: Space = SPACE, *, seed: int = 0, constraints: int = 1, **options: Any) -> Strategy:
        return self.kind(space, 2, constraints, seed, self.kind.Options(**options))

    def test_it_is_registered(self) -> None:
        assert self.kind in STRATEGIES.values()

    def test_the_first_block_holds_every_uniform_assignment(self) -> None:
        strategy = self.make()
        asked = [strategy.ask() for _ in range(strategy.batch)]
        uniform = SPACE.uniform()
        assert asked[: len(uniform)] == uniform
        assert asked[0] == SPACE.baseline()

    @pytest.mark.parametrize("space", [SPACE, ONE_DECISION], ids=["many", "one"])
    def test_all_that_it_asks_for_is_in_the_space(self, space: Space) -> None:
        strategy = self.make(space)
        for _ in range(5):
            block = [strategy.ask() for _ in range(strategy.batch)]
            assert all(space.candidate(candidate.decisions) == candidate for candidate in block)
            strategy.tell([toy_result(candidate) for candidate in block])

    def test_the_same_results_give_the_same_candidates(self) -> None:
        assert play(self.make(seed=3), 4) == play(self.make(seed=3), 4)

    def test_two_do_not_disturb_each_other(self) -> None:
        alone = play(self.make(seed=3), 4)
        one, other = self.make(seed=3), self.make(seed=4)
        together = []
        for _ in range(4):
            together += play(one, 1)
            play(other, 1)
            np.random.default_rng().random()
        assert together == alone

    def test_the_global_random_state_is_no_matter(self) -> None:
        alone = play(self.make(seed=3), 4)
        np.random.seed(1)
        before = np.random.get_state()[1].tolist()
        assert play(self.make(seed=3), 4) == alone
        assert np.random.get_state()[1].tolist() == before

    @pytest.mark.parametrize(
        "result",
        [
            lambda candidate: Result(candidate, None, (1.0,)),
            lambda candidate: Result(candidate, toy_gains(candidate), (0.5,)),
            lambda candidate: Result(candidate, toy_gains(candidate), (math.inf,)),
            lambda candidate: Result(candidate, None, (math.inf,)),
            lambda candidate: Result(candidate, (0.0, 0.0), (0.0,)),
            lambda candidate: Result(candidate, None, (1.0,), missing=True),
        ],
        ids=["all fail", "all infeasible", "a metric is missing", "fail without a metric", "all equal", "all missing"],
    )
    def test_whatever_happens_it_goes_on(self, result: Any) -> None:
        strategy = self.make()
        assert len(play(strategy, 4, result)) == 4 * strategy.batch

    def test_nothing_is_learnt_from_what_is_missing(self) -> None:
        """Whatever stands beside it, the rest is told as ever."""

        def result(candidate: Candidate, violation: float) -> Result:
            if int(candidate.digest[:4], 16) % 3 == 0:
                return Result(candidate, None, (violation,), missing=True)
            return toy_result(candidate)

        first, second = (play(self.make(), 4, partial(result, violation=one)) for one in (0.0, math.inf))
        assert first == second

    def test_what_is_missing_is_not_held_against_its_values(self) -> None:
        """A value that a noisy minute kept from every result is proposed as before."""
        strategy = self.make()
        asked: list[Candidate] = []
        for _ in range(6):
            block = [strategy.ask() for _ in range(strategy.batch)]
            asked += block
            noisy = [SPACE.decisions[0].choices[1] in candidate.decisions.values() for candidate in block]
            strategy.tell(
                [
                    Result(candidate, None, (1.0,), missing=True) if missing else toy_result(candidate)
                    for candidate, missing in zip(block, noisy, strict=True)
                ]
            )
        late = asked[3 * strategy.batch :]
        assert any(SPACE.decisions[0].choices[1] in candidate.decisions.values() for candidate in late)

    def test_without_constraints(self) -> None:
        strategy = self.make(constraints=0)
        assert play(strategy, 3, lambda candidate: Result(candidate, toy_gains(candidate)))

    def test_one_objective(self) -> None:
        strategy = self.kind(SPACE, 1, 0, 0, self.kind.Options())
        assert play(strategy, 3, lambda candidate: Result(candidate, toy_gains(candidate)[:1]))

    def test_a_space_of_one_decision(self) -> None:
        assert len(set(play(self.make(ONE_DECISION), 3))) == 2

    def test_a_space_of_one_candidate(self) -> None:
        space = Space((Decision("graph", ("plain",), "graph"),), "context")
        assert set(play(self.make(space), 2)) == {space.baseline().digest}

    def test_a_repeated_candidate_may_be_told_again(self) -> None:
        strategy = self.make(ONE_DECISION)
        block = [strategy.ask() for _ in range(strategy.batch + 30)]
        strategy.tell([toy_result(candidate) for candidate in block])
        assert strategy.ask()

    def test_its_state_is_json(self) -> None:
        strategy = self.make(seed=5)
        play(strategy, 2)
        state = strategy.state_dict()
        assert json.loads(json.dumps(state, allow_nan=False)) == state

    def test_replayed_with_its_state_it_goes_on_alike(self) -> None:
        whole = self.make(seed=5)
        play(whole, 3)
        expected = play(whole, 3)
        again = self.make(seed=5)
        play(again, 3)
        again.load_state_dict(json.loads(json.dumps(again.state_dict())))
        assert play(again, 3) == expected

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="not permitted"):
            self.kind.Options(popluation=4)

    def test_a_batch_is_at_least_one(self) -> None:
        assert self.make().batch >= 1


class ExploringContract(StrategyContract):
    """One that goes beyond the uniform assignments subclasses this."""

    small: ClassVar[dict[str, Any]]
    """Options for a block of four."""

    def test_a_smaller_block_puts_them_off(self) -> None:
        strategy = self.make(**self.small)
        assert strategy.batch == 4
        uniform = [candidate.digest for candidate in SPACE.uniform()]
        assert play(strategy, 2)[: len(uniform)] == uniform

    def test_another_seed_gives_others(self) -> None:
        assert play(self.make(seed=3), 4) != play(self.make(seed=4), 4)

    def test_it_tries_more_than_the_uniform_assignments(self) -> None:
        assert len(set(play(self.make(), 6))) > len(SPACE.uniform()) + 20


class Costs:
    """Predicts from what each value costs."""

    def speedup(self, decisions: Mapping[str, str]) -> float | None:
        return 1 / (1e-3 + sum(COSTS[value] * 2.0 ** (2 - n) for n, value in enumerate(decisions.values())))


def changes(candidate: Candidate) -> int:
    return sum(value != first for (_, value), (_, first) in zip(candidate.values, SPACE.baseline().values, strict=True))


def gain_for_changes(candidate: Candidate) -> float:
    return (toy_gains(candidate)[1] - toy_gains(SPACE.baseline())[1]) / max(1, changes(candidate))


class TestRandomSearch(ExploringContract):
    kind = RandomSearch
    small: ClassVar[dict[str, Any]] = {"batch": 4}

    def test_results_do_not_matter(self) -> None:
        assert play(self.make(seed=1), 4) == play(
            self.make(seed=1), 4, lambda candidate: Result(candidate, None, (1.0,))
        )

    def test_every_value_is_drawn_alike(self) -> None:
        strategy = self.make(batch=3000)
        drawn = [strategy.ask() for _ in range(strategy.batch)]
        for decision in SPACE.decisions:
            counts = [sum(c.decisions[decision.name] == choice for c in drawn) for choice in decision.choices]
            assert min(counts) > 0.9 * 3000 / len(decision.choices)

    def test_screening_proposes_what_no_other_draw_beats(self) -> None:
        """As few changes or fewer, and faster by prediction."""
        strategy, choosy = self.make(batch=200), self.make(batch=200, screen=12)
        choosy.predictor = Costs()
        start = len(SPACE.uniform())
        plain, chosen = ([one.ask() for _ in range(200)][start:] for one in (strategy, choosy))
        assert np.mean([gain_for_changes(c) for c in chosen]) > np.mean([gain_for_changes(c) for c in plain]) + 0.1
        assert len({changes(candidate) for candidate in chosen}) >= 4

    def test_screening_is_the_same_again(self) -> None:
        runs = []
        for _ in range(2):
            strategy = self.make(batch=8, screen=5, seed=3)
            strategy.predictor = Costs()
            runs.append(play(strategy, 4))
        assert runs[0] == runs[1]

    def test_who_screens_says_so(self) -> None:
        assert [kind.Options().screens for kind in (Nsga2, RandomSearch)] == [False, False]
        assert RandomSearch.Options(screen=2).screens
        assert Nsga2.Options(warm_start=True).screens
        assert Sensitivity.Options().screens

    def test_without_a_predictor_nothing_is_screened(self) -> None:
        assert play(self.make(batch=8, screen=5), 4) == play(self.make(batch=8), 4)

    def test_a_draw_that_cannot_be_predicted_is_not_screened_out(self) -> None:
        baseline, changed = SPACE.baseline(), SPACE.uniform()[1]
        assert screen_draws([baseline, changed, changed], [1.0, 0.9, None], baseline) == [baseline, changed]
        assert screen_draws([baseline, changed], [1.0, 2.0], baseline) == [baseline, changed]

    @pytest.mark.parametrize("batch", [0, -1])
    def test_no_batch_of_none(self, batch: int) -> None:
        with pytest.raises(ValidationError):
            RandomSearch.Options(batch=batch)


LARGE = Space(tuple(Decision(f"precision:{number}", PRECISIONS, "precision") for number in range(20)), "context")


def large_gains(candidate: Candidate) -> tuple[float, float]:
    """As on real networks: what a layer costs says nothing about what it loses, and random mixtures are mediocre."""
    values = [value for _, value in candidate.values]
    quality = -sum(LOSSES[value] * (1 + 5 * number % 7) ** 2 for number, value in enumerate(values))
    speed = -sum(COSTS[value] * (1 + 3 * number % 11) ** 2 for number, value in enumerate(values))
    return quality, speed


def hypervolume_of(asked: Sequence[Candidate]) -> float:
    return hypervolume([large_gains(candidate) for candidate in asked], (-300.0, -1000.0))


class TestNsga2(ExploringContract):
    kind = Nsga2
    small: ClassVar[dict[str, Any]] = {"population": 4}

    @pytest.mark.parametrize("options", [{"population": 1}, {"mutation": 1.5}, {"crossover": -0.1}])
    def test_options_that_make_no_sense(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Nsga2.Options(**options)

    def test_results_matter(self) -> None:
        one = play(self.make(seed=1), 4, lambda candidate: Result(candidate, toy_gains(candidate), (0.0,)))
        other = play(self.make(seed=1), 4, lambda candidate: Result(candidate, toy_gains(candidate)[::-1], (0.0,)))
        assert one[:16] == other[:16]
        assert one != other

    @pytest.mark.parametrize("seed", range(4))
    def test_it_learns(self, seed: int) -> None:
        """It ends above its first block, which holds the uniform assignments, and above random search."""
        volumes = {}
        for kind in (Nsga2, RandomSearch):
            asked: list[Candidate] = []

            def result(candidate: Candidate, asked: list[Candidate] = asked) -> Result:
                asked.append(candidate)
                return Result(candidate, large_gains(candidate))

            play(kind(LARGE, 2, 0, seed, kind.Options()), 8, result)
            volumes[kind] = hypervolume_of(asked), hypervolume_of(asked[:16])
        assert volumes[Nsga2][0] > volumes[Nsga2][1]
        assert volumes[Nsga2][0] > volumes[RandomSearch][0]

    def test_feasible_ones_breed(self) -> None:
        """Where only a fused graph keeps the constraint, most of a late block is fused."""

        def result(candidate: Candidate) -> Result:
            fused = candidate.decisions["graph"] == "fused"
            return Result(candidate, toy_gains(candidate), (0.0 if fused else 1.0,))

        shares = []
        for seed in range(5):
            strategy = self.make(seed=seed)
            play(strategy, 6, result)
            block = [strategy.ask() for _ in range(strategy.batch)]
            shares.append(sum(candidate.decisions["graph"] == "fused" for candidate in block) / len(block))
        assert np.mean(shares) > 0.7


class TestSensitivity(ExploringContract):
    """What is its own is in test_sensitivity.py."""

    kind = Sensitivity
    small: ClassVar[dict[str, Any]] = {"batch": 4}

    def test_it_is_the_same_again_with_a_predictor(self) -> None:
        runs = []
        for _ in range(2):
            strategy = self.make(seed=3)
            strategy.predictor = Costs()
            runs.append(play(strategy, 4))
        assert runs[0] == runs[1]

    def test_it_ends_above_the_others_where_losses_and_times_add_up(self) -> None:
        volumes = {}
        for kind in (Sensitivity, Nsga2, RandomSearch):
            asked: list[Candidate] = []

            def result(candidate: Candidate, asked: list[Candidate] = asked) -> Result:
                asked.append(candidate)
                return Result(candidate, large_gains(candidate))

            strategy = kind(LARGE, 2, 0, 0, kind.Options())
            play(strategy, 64 // strategy.batch, result)
            volumes[kind] = hypervolume_of(asked)
        assert volumes[Sensitivity] > max(volumes[Nsga2], volumes[RandomSearch])


class TestFliqs(StrategyContract):
    """It has nothing to explore: what it proposes searches for itself, while it is built. See test_fliqs.py."""

    kind = Fliqs
    space = Space(
        (
            Decision("runtime", ("one", "other"), "runtime"),
            Decision("formats", ("fp32", "16", "28", "45"), "formats"),
        ),
        "context",
    )

    def test_every_target_on_every_runtime(self) -> None:
        strategy = self.make(self.space)
        assert strategy.batch == 8
        asked = [strategy.ask() for _ in range(8)]
        assert asked[0] == self.space.baseline()
        assert len({candidate.digest for candidate in asked}) == self.space.size == 8
        strategy.tell([toy_result(SPACE.baseline()) for _ in asked])
        assert strategy.ask() == asked[0]

    def test_neither_seed_nor_results_matter(self) -> None:
        assert play(self.make(seed=3), 3) == play(self.make(seed=4), 3, lambda one: Result(one, None, (1.0,)))

    def test_it_needs_the_technique(self) -> None:
        assert Fliqs.needs == ("formats",)
        assert not Fliqs.Options().screens

    def test_targets_that_are_equal_are_one(self) -> None:
        assert Fliqs.Options(targets=[20, 28, 20.0]).targets == (20.0, 28.0)

    @pytest.mark.parametrize(
        "options",
        [
            {"targets": []}, {"targets": [0]}, {"targets": [16, -1]}, {"targets": [float("nan")]},
            {"targets": [float("inf")]}, {"cost": "time"}, {"delay": 1}, {"settle": 0}, {"beta": 0}, {"entropy": -1},
            {"momentum": 1},
        ],
    )  # fmt: skip
    def test_options_that_make_no_sense(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Fliqs.Options(**options)
