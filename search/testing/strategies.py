"""Conformance suites of strategies: a strategy's test class subclasses :class:`ExploringConformance`, or, if it
proposes nothing beyond the uniform assignments, :class:`StrategyConformance`.

    from my_package.hill import HillClimb
    from search.testing.strategies import ExploringConformance

    class TestHillClimb(ExploringConformance):
        kind = HillClimb
        small = {"batch": 4}

Needs pytest. The strategy must be registered, or be an entry point of an installed package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from search.fronts.objectives import Constraint, Objective
from search.space.candidate import Candidate, Decision, Space
from search.strategies import STRATEGIES, LatencyPredictor, Result, Strategy, StrategyContext

PRECISIONS = ("fp32", "int8", "int4")
GRAPH = Decision("graph", ("plain", "fused"), "graph")


def layer_decisions(count: int, choices: Sequence[str] = PRECISIONS) -> tuple[Decision, ...]:
    """Decisions about the precision of so many layers."""
    return tuple(
        Decision(f"precision:{number}", tuple(choices), "precision", target=str(number), scope="layer")
        for number in range(count)
    )


SPACE = Space((*layer_decisions(6), GRAPH), "context")
ONE_DECISION = Space((GRAPH,), "context")


def context_of(
    space: Space,
    *,
    metrics: Sequence[str] = ("cosine", "speedup"),
    constraints: int = 0,
    seed: int = 0,
    predictor: LatencyPredictor | None = None,
) -> StrategyContext:
    """Returns the context of a job that maximises ``metrics``, with so many constraints."""
    return StrategyContext(
        space=space,
        objectives=tuple(Objective(metric, "max") for metric in metrics),
        constraints=tuple(Constraint.parse(f"size_bytes <= {1000 + number}") for number in range(constraints)),
        seed=seed,
        predictor=predictor,
    )


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


def _global_random_state() -> list[int]:
    state: Any = np.random.get_state()
    return [int(word) for word in state[1]]


class StrategyConformance:
    """What every strategy promises."""

    kind: ClassVar[type[Strategy]]

    def make(
        self, space: Space = SPACE, *, seed: int = 0, constraints: int = 1,
        predictor: LatencyPredictor | None = None, **options: Any,
    ) -> Strategy:  # fmt: skip
        """Returns a strategy of this kind for a job that optimises quality and speed."""
        context = context_of(space, constraints=constraints, seed=seed, predictor=predictor)
        return self.kind(context, self.kind.Options(**options))

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
        before = _global_random_state()
        assert play(self.make(seed=3), 4) == alone
        assert _global_random_state() == before

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
        strategy = self.kind(context_of(SPACE, metrics=("cosine",)), self.kind.Options())
        assert play(strategy, 3, lambda candidate: Result(candidate, toy_gains(candidate)[:1]))

    def test_a_space_of_one_decision(self) -> None:
        assert len(set(play(self.make(ONE_DECISION), 3))) == 2

    def test_a_space_of_one_candidate(self) -> None:
        space = Space((replace(GRAPH, choices=("plain",)),), "context")
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

    def test_state_that_is_saved_is_restored(self) -> None:
        """Also in a strategy that learnt otherwise meanwhile, as on a processor that rounds differently."""
        kept = self.make(seed=5)
        play(kept, 3)
        state = json.loads(json.dumps(kept.state_dict()))
        other = self.make(seed=5)
        play(other, 3)
        other.load_state_dict(state)
        assert other.state_dict() == state
        if state:
            assert type(other).load_state_dict is not Strategy.load_state_dict

    def test_rewards_are_of_its_candidates_and_the_same_once_replayed(self) -> None:
        first, again = self.make(seed=5), self.make(seed=5)
        asked = play(first, 3)
        play(again, 3)
        again.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert list(again.rewards) == list(first.rewards)
        assert {reward.digest for reward in first.rewards} <= set(asked)
        assert all(math.isfinite(reward.value) and reward.update > 0 for reward in first.rewards)
        so_far = len(first.rewards)
        play(first, 1, lambda candidate: Result(candidate, None, (1.0,), missing=True))
        assert len(first.rewards) == so_far

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="not permitted"):
            self.kind.Options.model_validate({"popluation": 4})

    def test_a_batch_is_at_least_one(self) -> None:
        assert self.make().batch >= 1


class ExploringConformance(StrategyConformance):
    """What a strategy promises that goes beyond the uniform assignments."""

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
