"""Strategies that ship: the conformance suite, and what each adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from search.fronts.pareto import hypervolume
from search.space.candidate import Candidate, Decision, Space
from search.strategies import Bayesian, Evolution, Fliqs, Nsga2, RandomSearch, Result, Sensitivity
from search.strategies.drawing import screen_draws
from search.testing.strategies import (
    COSTS,
    LOSSES,
    SPACE,
    ExploringConformance,
    StrategyConformance,
    context_of,
    layer_decisions,
    play,
    toy_gains,
    toy_result,
)


class Costs:
    """Predicts from what each value costs."""

    def speedup(self, decisions: Mapping[str, str]) -> float | None:
        return 1 / (1e-3 + sum(COSTS[value] * 2.0 ** (2 - n) for n, value in enumerate(decisions.values())))


def changes(candidate: Candidate) -> int:
    return sum(value != first for (_, value), (_, first) in zip(candidate.values, SPACE.baseline().values, strict=True))


def gain_for_changes(candidate: Candidate) -> float:
    return (toy_gains(candidate)[1] - toy_gains(SPACE.baseline())[1]) / max(1, changes(candidate))


class TestRandomSearch(ExploringConformance):
    kind = RandomSearch
    small: ClassVar[dict[str, Any]] = {"batch": 4}

    def test_results_do_not_matter(self) -> None:
        assert play(self.make(seed=1), 4) == play(
            self.make(seed=1), 4, lambda candidate: Result(candidate, None, (1.0,))
        )

    def test_every_value_is_drawn_alike(self) -> None:
        strategy = self.make(batch=3000)
        draw_samples = [strategy.ask() for _ in range(strategy.batch)]
        for decision in SPACE.decisions:
            counts = [sum(c.decisions[decision.name] == choice for c in draw_samples) for choice in decision.choices]
            assert min(counts) > 0.9 * 3000 / len(decision.choices)

    def test_screening_proposes_what_no_other_draw_beats(self) -> None:
        """As few changes or fewer, and faster by prediction."""
        strategy, choosy = self.make(batch=200), self.make(batch=200, screen=12, predictor=Costs())
        start = len(SPACE.uniform())
        plain, chosen = ([one.ask() for _ in range(200)][start:] for one in (strategy, choosy))
        assert np.mean([gain_for_changes(c) for c in chosen]) > np.mean([gain_for_changes(c) for c in plain]) + 0.1
        assert len({changes(candidate) for candidate in chosen}) >= 4

    def test_screening_is_the_same_again(self) -> None:
        runs = []
        for _ in range(2):
            strategy = self.make(batch=8, screen=5, seed=3, predictor=Costs())
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


LARGE = Space(layer_decisions(20), "context")


def large_gains(candidate: Candidate) -> tuple[float, float]:
    """As on real networks: what a layer costs says nothing about what it loses, and random mixtures are mediocre."""
    values = [value for _, value in candidate.values]
    quality = -sum(LOSSES[value] * (1 + 5 * number % 7) ** 2 for number, value in enumerate(values))
    speed = -sum(COSTS[value] * (1 + 3 * number % 11) ** 2 for number, value in enumerate(values))
    return quality, speed


def hypervolume_of(asked: Sequence[Candidate]) -> float:
    return hypervolume([large_gains(candidate) for candidate in asked], (-300.0, -1000.0))


class TestNsga2(ExploringConformance):
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

            play(kind(context_of(LARGE, seed=seed), kind.Options()), 8, result)
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


class TestSensitivity(ExploringConformance):
    """What is its own is in test_sensitivity.py."""

    kind = Sensitivity
    small: ClassVar[dict[str, Any]] = {"batch": 4}

    def test_it_is_the_same_again_with_a_predictor(self) -> None:
        runs = []
        for _ in range(2):
            strategy = self.make(seed=3, predictor=Costs())
            runs.append(play(strategy, 4))
        assert runs[0] == runs[1]

    def test_it_ends_above_the_others_where_losses_and_times_add_up(self) -> None:
        volumes = {}
        for kind in (Sensitivity, Nsga2, RandomSearch):
            asked: list[Candidate] = []

            def result(candidate: Candidate, asked: list[Candidate] = asked) -> Result:
                asked.append(candidate)
                return Result(candidate, large_gains(candidate))

            strategy = kind(context_of(LARGE), kind.Options())
            play(strategy, 64 // strategy.batch, result)
            volumes[kind] = hypervolume_of(asked)
        assert volumes[Sensitivity] > max(volumes[Nsga2], volumes[RandomSearch])


class TestFliqs(StrategyConformance):
    """It has nothing to explore: what it proposes searches for itself, while it is built. See test_fliqs.py."""

    kind = Fliqs
    space = Space(
        (
            Decision("runtime", ("one", "other"), "runtime", scope="device"),
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


class TestEvolution(ExploringConformance):
    kind = Evolution
    small: ClassVar[dict[str, Any]] = {"batch": 4}

    def test_children_differ_from_a_recent_candidate_in_few_decisions(self) -> None:
        strategy = self.make(population=8)
        recent: list[Candidate] = []
        for _ in range(8):
            block = [strategy.ask() for _ in range(strategy.batch)]
            if len(recent) == 8:
                assert all(min(differences(child, parent) for parent in recent) <= 4 for child in block)
            strategy.tell([Result(candidate, toy_gains(candidate)) for candidate in block])
            recent = (recent + block)[-8:]

    def test_what_failed_or_is_infeasible_has_no_children_beside_what_is_feasible(self) -> None:
        good = SPACE.baseline()
        strategy = self.make(population=2, sample=64, batch=6)
        for _ in range(6):
            strategy.ask()
        bad = SPACE.candidate({**good.decisions, "precision:0": "int4", "precision:1": "int4", "precision:2": "int4"})
        failed, missing = Result(bad, None), Result(bad, None, missing=True)
        strategy.tell([failed, missing, Result(good, toy_gains(good)), Result(bad, (9.0, 9.0), (0.5,))])
        assert all(differences(strategy.ask(), good) < differences(bad, good) + 1 for _ in range(20))
        assert any(differences(strategy.ask(), good) == 1 for _ in range(20))

    def test_children_are_screened(self) -> None:
        plain, chosen = ([SPACE.candidate(child) for child in self._late(screen)] for screen in (1, 12))
        assert np.mean([gain_for_changes(c) for c in chosen]) > np.mean([gain_for_changes(c) for c in plain])

    def _late(self, screen: int) -> list[Mapping[str, str]]:
        strategy = self.make(batch=40, screen=screen, predictor=Costs())
        strategy.tell([Result(candidate, (0.0, 0.0)) for candidate in [strategy.ask() for _ in range(strategy.batch)]])
        return [strategy.ask().decisions for _ in range(strategy.batch)]


class TestBayesian(ExploringConformance):
    kind = Bayesian
    small: ClassVar[dict[str, Any]] = {"batch": 4}

    def test_numbers_are_steps_on_a_scale(self) -> None:
        """The best of many shares is proposed more often than it would be if they were categories."""
        shares = tuple(f"{share / 20:g}" for share in range(20, 0, -1))
        space = Space(tuple(Decision(f"width:{n}", shares, "pruning") for n in range(3)), "context")

        def result(candidate: Candidate) -> Result:
            return Result(candidate, (-sum((float(value) - 0.37) ** 2 for _, value in candidate.values),))

        strategy = Bayesian(context_of(space, metrics=("cosine",)), Bayesian.Options())
        play(strategy, 12, result)
        late = [strategy.ask() for _ in range(8)]
        distance = np.mean([abs(float(value) - 0.37) for candidate in late for _, value in candidate.values])
        assert distance < 0.15  # 0.27 by chance

    def test_a_gaussian_process_goes_on_whatever_happens_and_is_the_same_again(self) -> None:
        """Its candidates fail, are infeasible, and lack the metric of a constraint."""
        runs = [play(self.make(model="gp", batch=6, random=6), 3) for _ in range(2)]
        assert runs[0] == runs[1]
        assert len(set(runs[0])) > 12


def differences(one: Candidate, other: Candidate) -> int:
    return sum(value != before for (_, value), (_, before) in zip(one.values, other.values, strict=True))
