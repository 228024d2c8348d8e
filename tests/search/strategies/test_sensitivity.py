"""The knapsack strategy: its answers are exact where losses and times add up, and it copes where they do not."""

from __future__ import annotations

import ctypes
import itertools
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from search.fronts.objectives import Objective
from search.space.candidate import Candidate, Decision, Replacement, Space
from search.strategies import Nsga2, Result, Sensitivity
from search.strategies.additive import fit_costs, fit_losses, from_singles
from search.strategies.knapsack import least_loss
from search.strategies.observations import Axes, observe
from search.strategies.silence import silence_stdout
from search.testing.strategies import ONE_DECISION, PRECISIONS, context_of, layer_decisions, play


def brute_force(losses: list[Any], costs: list[Any], budget: float, known: Any = ()) -> tuple[float, float] | None:
    """The least loss within the budget and its cost."""
    found = [
        (sum(row[c] for row, c in zip(losses, choice, strict=True)),
         sum(row[c] for row, c in zip(costs, choice, strict=True)))
        for choice in itertools.product(*(range(len(row)) for row in losses))
        if choice not in known
    ]  # fmt: skip
    inside = [pair for pair in found if pair[1] <= budget and math.isfinite(pair[0])]
    return min(inside) if inside else None


class TestKnapsack:
    @pytest.mark.parametrize("seed", range(5))
    def test_it_is_exact_for_every_budget(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        losses = [np.concatenate([[0.0], 10 ** rng.uniform(-4, 0, rng.integers(1, 4))]) for _ in range(5)]
        costs = [np.concatenate([[0.0], -rng.uniform(0.01, 0.3, len(row) - 1)]) for row in losses]
        fastest = sum(row.min() for row in costs)
        for budget in np.linspace(fastest, 0.0, 9) + 1e-9:
            answer = least_loss(losses, costs, budget)
            assert answer is not None
            found = sum(row[c] for row, c in zip(losses, answer, strict=True))
            best = brute_force(losses, costs, budget)
            assert best is not None
            assert found == pytest.approx(best[0], rel=1e-6, abs=1e-9)

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Reports go to stdout, and must hold nothing else; HiGHS prints through C's buffer."""
        libc = ctypes.CDLL(None)
        print("before", flush=True)
        with silence_stdout():
            libc.puts(b"debugging")
            os.write(1, b"noise")
        libc.puts(b"after")
        libc.fflush(None)
        assert capfd.readouterr().out == "before\nafter\n"

    def test_known_answers_are_not_given_again_and_the_next_best_follows(self) -> None:
        rng = np.random.default_rng(1)
        losses = [rng.uniform(0, 1, 3) for _ in range(3)]
        costs = [rng.uniform(0, 1, 3) for _ in range(3)]
        known: list[tuple[int, ...]] = []
        seen = []
        while (answer := least_loss(losses, costs, 2.0, known)) is not None:
            best = brute_force(losses, costs, 2.0, known)
            assert best is not None
            seen.append(sum(row[c] for row, c in zip(losses, answer, strict=True)))
            assert seen[-1] == pytest.approx(best[0], rel=1e-6)
            known.append(answer)
        assert brute_force(losses, costs, 2.0, known) is None
        assert seen == sorted(seen)

    def test_of_equal_losses_the_cheapest(self) -> None:
        zero, costs = [np.zeros(2)] * 3, [np.array([0.0, -0.1 * (n + 1)]) for n in range(3)]
        assert least_loss(zero, costs, 0.0) == (1, 1, 1)
        assert least_loss(zero, costs, 0.0, [(1, 1, 1)]) == (0, 1, 1)

    def test_degenerate_ones(self) -> None:
        one = [np.array([0.0, 1.0])]
        assert least_loss(one, [np.array([0.0, -1.0])], -0.5) == (1,)
        assert least_loss(one, [np.array([0.0, -1.0])], -2.0) is None
        assert least_loss([np.array([0.0, np.inf])], [np.array([0.0, -1.0])], -0.5) is None
        assert least_loss([np.array([np.inf])], [np.array([0.0])], 1.0) is None
        assert least_loss([], [], 0.0) == ()
        assert least_loss([], [], 0.0, [()]) is None
        assert least_loss([np.zeros(1)] * 2, [np.zeros(1)] * 2, 0.0) == (0, 0)


class TestModels:
    def test_what_was_not_tried_loses_what_its_like_loses(self) -> None:
        rows = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]], np.float64)
        found = from_singles(rows, np.array([0, 0.2, 0.6, 0.8]), ["int8", "int4", "int8", "other"])
        assert found is not None
        assert found.tolist() == pytest.approx([0.2, 0.6, 0.2, 0.4])
        assert from_singles(rows[:1], np.zeros(1), ["int8"] * 4) is None

    def test_told_mixtures_reweight_single_changes(self) -> None:
        """Together the first two lose three times what they lose alone."""
        rows = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], *([[1, 1, 0]] * 6)], np.float64)
        losses = np.array([0.1, 0.1, 0.1, *([0.6] * 6)])
        found = fit_losses(rows, losses, np.full(3, 0.1), np.array([0.1, 0.1, 0.1, *([1.0] * 6)]))
        assert 0.4 < found[0] + found[1] < 0.6
        assert found[2] == pytest.approx(0.1, rel=0.05)
        assert (fit_losses(rows, np.zeros(9), np.zeros(3), np.ones(9)) == 0).all()

    def test_told_costs_shift_the_prior(self) -> None:
        rows = np.array([[1.0, 0.0], [1.0, 1.0]] * 20)
        found = fit_costs(rows, np.array([1.0, 0.5] * 20), np.array([1.0, -0.1]), np.ones(40))
        assert found == pytest.approx([1.0, -0.5], abs=0.01)

    @pytest.mark.parametrize(
        ("metrics", "expected"),
        [
            (("cosine", "speedup"), Axes((1,), (0,), 1)),
            (("speedup", "accuracy"), Axes((0,), (1,), 0)),
            (("accuracy", "size_bytes"), Axes((1,), (0,), None)),
            (("cosine", "speedup@a", "size_bytes"), Axes((1, 2), (0,), 1)),
            (("cosine", "accuracy"), Axes((1,), (0,), None)),
            ((), Axes((), (), None)),
            (("speedup",), Axes((0,), (), 0)),
            (("cosine",), Axes((), (0,), None)),
        ],
    )  # fmt: skip
    def test_which_objectives_are_costs(self, metrics: tuple[str, ...], expected: Axes) -> None:
        assert Axes.of([Objective(metric, "max") for metric in metrics]) == expected

    def test_told_results_as_figures(self) -> None:
        baseline, *others = EVERY[:5]
        results = [
            Result(baseline, (1.0, 1.0), (0.0,)),
            Result(others[0], (0.9, 2.0), (0.5,)),
            Result(others[1], (1.1, 4.0), (0.0,)),
            Result(others[2], None, (1.0,)),
            Result(others[3], (0.8, 2.0), (math.inf,)),
        ]
        figures = observe(results, Axes((1,), (0,), 1), baseline.digest)
        assert figures.losses.tolist() == pytest.approx([0.0, 2.0, 0.0, 4.0, 4.0])
        assert figures.costs[:3, 0].tolist() == pytest.approx([1.0, 0.5, 0.25])
        assert np.isnan(figures.costs[3:, 0]).all()
        assert figures.works.tolist() == [True, True, True, False, False]
        assert figures.feasible.tolist() == [True, False, True, False, False]


LAYERS = Space(layer_decisions(5), "context")
RNG = np.random.default_rng(7)
LOSSES = [dict(zip(PRECISIONS, (0.0, *sorted(10 ** RNG.uniform(-3, -1, 2))), strict=True)) for _ in range(5)]
TIMES = [dict(zip(PRECISIONS, (0.2, *-np.sort(-RNG.uniform(0.02, 0.15, 2))), strict=True)) for _ in range(5)]


def loss_of(candidate: Candidate) -> float:
    return float(sum(row[value] for row, (_, value) in zip(LOSSES, candidate.values, strict=True)))


def time_of(candidate: Candidate) -> float:
    return float(sum(row[value] for row, (_, value) in zip(TIMES, candidate.values, strict=True)))


def additive(candidate: Candidate) -> Result:
    return Result(candidate, (1.0 - loss_of(candidate), 1.0 / time_of(candidate)), (0.0,))


class Exact:
    def speedup(self, decisions: Mapping[str, str]) -> float | None:
        return 1.0 / time_of(LAYERS.candidate(decisions))


EVERY = [LAYERS.candidate(dict(zip([d.name for d in LAYERS.decisions], values, strict=True)))
         for values in itertools.product(PRECISIONS, repeat=5)]  # fmt: skip


class TestSensitivity:
    def make(self, space: Space, predictor: Exact | None = None, **options: Any) -> Sensitivity:
        return Sensitivity(context_of(space, constraints=1, predictor=predictor), Sensitivity.Options(**options))

    @pytest.mark.parametrize("with_tables", [True, False])
    def test_every_proposal_is_the_exact_optimum_for_its_budget(self, with_tables: bool) -> None:
        """Where losses and times add up: no candidate that is not known yet loses less and is as fast or faster."""
        strategy = self.make(LAYERS, Exact() if with_tables else None, batch=13)
        block = [strategy.ask() for _ in range(13)]
        assert block[:3] == LAYERS.uniform()
        assert all(sum(v != "fp32" for _, v in one.values) == 1 for one in block[3:])
        strategy.tell([additive(one) for one in block])
        fastest = min(map(time_of, EVERY))
        known = {one.digest for one in block}
        proposals = [strategy.ask() for _ in range(13)]
        for one in proposals:
            better = [
                other for other in EVERY
                if other.digest not in known and time_of(other) <= time_of(one) + 1e-6
                and loss_of(other) < loss_of(one) - 1e-6
            ]  # fmt: skip
            assert not better
            known.add(one.digest)
        times = [time_of(one) for one in proposals]
        assert min(times) < fastest + 0.2 * (1 - fastest)
        assert max(times) > 1 - 0.4 * (1 - fastest)

    def test_no_candidate_twice_until_there_is_no_other(self) -> None:
        space = Space(LAYERS.decisions[:3], "")
        strategy = self.make(space, batch=9)

        def result(candidate: Candidate) -> Result:
            return Result(candidate, (-changed(candidate) / 10, 1.0 + changed(candidate)))

        asked = play(strategy, 3, result)
        assert len(set(asked)) == len(asked) == 27
        assert play(strategy, 1, result) == [space.baseline().digest] * 9

    def test_the_largest_predicted_gains_are_tried_first(self) -> None:
        strategy = self.make(LAYERS, Exact(), batch=7, singles=4)
        singles = [strategy.ask() for _ in range(7)][3:]
        assert [time_of(one) for one in singles] == sorted(time_of(one) for one in singles)
        every = sorted(time_of(one) for one in EVERY if sum(v != "fp32" for _, v in one.values) == 1)
        assert [time_of(one) for one in singles] == pytest.approx(every[:4])
        strategy.tell([additive(one) for one in [*LAYERS.uniform(), *singles]])
        assert sum(v != "fp32" for _, v in strategy.ask().values) > 1

    @pytest.mark.parametrize(
        "space",
        [
            ONE_DECISION,
            Space((Decision("graph", ("plain",), "graph"),), ""),
            Space((Decision("a", ("fp32",), "precision"), Decision("b", ("fp32",), "precision")), ""),
            Space((Decision("a", PRECISIONS, "precision"), Decision("b", ("fp32",), "precision")), ""),
            Space((), ""),
        ],
        ids=["one decision", "one value", "one value each", "one free decision", "nothing to decide"],
    )  # fmt: skip
    def test_degenerate_spaces(self, space: Space) -> None:
        strategy = self.make(space)
        results = play(strategy, 3, lambda candidate: Result(candidate, (1.0, 1.0), (0.0,)))
        assert len(set(results)) == space.size

    @pytest.mark.parametrize("objectives", [1, 3])
    @pytest.mark.parametrize(
        "metrics", [("recall", "fps", "f1"), ("cosine", "speedup", "size_bytes"), ("speedup", "cosine", "accuracy")]
    )
    def test_any_number_of_objectives(self, objectives: int, metrics: tuple[str, ...]) -> None:
        strategy = Sensitivity(context_of(LAYERS, metrics=metrics[:objectives]), Sensitivity.Options())

        def result(candidate: Candidate) -> Result:
            gains = (1.0 - loss_of(candidate), 1.0 / time_of(candidate), -time_of(candidate) * 1e6)
            return Result(candidate, gains[:objectives])

        asked = play(strategy, 5, result)
        assert len(set(asked)) == len(asked)

    def test_replacements_make_no_proposal_known(self) -> None:
        space = Space(
            (Decision("runtime", ("one", "two"), "runtime", scope="device"), *LAYERS.decisions), "",
            (Replacement("two", "precision", "int4", "int8"),),
        )  # fmt: skip
        strategy = self.make(space)
        asked = play(strategy, 6, lambda one: Result(one, (-changed(one) / 10, 1.0 + changed(one)), (0.0,)))
        assert len(set(asked)) == len(asked)

    def test_what_fails_alone_is_left_out(self) -> None:
        def result(candidate: Candidate) -> Result:
            fails = candidate.decisions["precision:0"] == "int4"
            return Result(candidate, None, (1.0,)) if fails else additive(candidate)

        strategy = self.make(LAYERS, batch=13)
        play(strategy, 1, result)
        later = [strategy.ask() for _ in range(40)]
        assert not any(one.decisions["precision:0"] == "int4" for one in later)

    def test_budgets_keep_to_where_candidates_are_feasible(self) -> None:
        """Where quality must stay, the fastest half of the range is not searched again and again."""

        def result(candidate: Candidate) -> Result:
            return Result(candidate, additive(candidate).gains, (max(0.0, loss_of(candidate) - 0.05),))

        bound = self.make(LAYERS, batch=13)
        free = self.make(LAYERS, batch=13)
        play(bound, 2, result)
        play(free, 2, additive)
        shares = [np.mean([loss_of(one) <= 0.05 for one in (s.ask() for _ in range(13))]) for s in (bound, free)]
        assert shares[0] > shares[1]

    @pytest.mark.parametrize("options", [{"batch": 0}, {"singles": -1}])
    def test_options_that_make_no_sense(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Sensitivity.Options(**options)


def changed(candidate: Candidate) -> int:
    return sum(value not in ("fp32", "plain", "one") for _, value in candidate.values)


class TestWarmStart:
    def test_the_first_generations_are_those_of_the_knapsack(self) -> None:
        warm = Nsga2(context_of(LAYERS, constraints=1), Nsga2.Options(warm_start=True))
        alone = Sensitivity(context_of(LAYERS, constraints=1), Sensitivity.Options(batch=16))
        assert warm.options.screens
        assert play(warm, 2, additive) == play(alone, 2, additive)
        assert play(warm, 1, additive) != play(alone, 1, additive)

    def test_it_is_the_same_again(self) -> None:
        context = context_of(LAYERS, constraints=1, seed=3)
        runs = [play(Nsga2(context, Nsga2.Options(warm_start=True)), 6, additive) for _ in range(2)]
        assert runs[0] == runs[1]
