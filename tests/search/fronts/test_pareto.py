"""Dominance, the front, ties and hypervolume, against brute force and figures found by hand."""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from search.fronts.objectives import Objective
from search.fronts.pareto import (
    Entry,
    Point,
    best_compromise,
    dominates,
    floor_of,
    hypervolume,
    pareto_front,
    reference_point,
    tied_members,
)

AXES = ("a", "b", "c", "d")


def objectives(count: int, *directions: str) -> list[Objective]:
    chosen: list[Any] = list(directions) or ["max"] * count
    return [Objective(name, direction) for name, direction in zip(AXES, chosen, strict=False)]


def entry(trial: int, *values: float | None, **metrics: Any) -> Entry:
    return Entry(f"id{trial}", trial, dict(zip(AXES, values, strict=False)) | metrics)


def entries(points: list[Point]) -> list[Entry]:
    return [entry(trial, *point) for trial, point in enumerate(points)]


def trials(front: list[Entry]) -> list[int]:
    return [member.trial for member in front]


def random_points(seed: int, count: int, axes: int, *, levels: int | None = None) -> list[Point]:
    """``levels`` few values an axis make many ties and duplicates."""
    rng = np.random.default_rng(seed)
    values = rng.random((count, axes)) if levels is None else rng.integers(0, levels, (count, axes))
    return [tuple(map(float, row)) for row in values]


class TestDominance:
    @pytest.mark.parametrize(
        ("a", "b", "expected"),
        [
            ((1, 1), (0, 0), True),
            ((1, 0), (0, 0), True),
            ((0, 0), (0, 0), False),
            ((1, 0), (0, 1), False),
            ((0, 0), (1, 0), False),
            ((1,), (0,), True),
        ],
    )
    def test_by_hand(self, a: Point, b: Point, expected: bool) -> None:
        assert dominates(a, b) is expected

    def test_it_is_a_strict_order(self) -> None:
        points = random_points(0, 40, 3, levels=3)
        for a, b, c in product(points, repeat=3):
            assert not dominates(a, a)
            assert not (dominates(a, b) and dominates(b, a))
            assert dominates(a, c) or not (dominates(a, b) and dominates(b, c))


class TestFront:
    @pytest.mark.parametrize("seed", range(10))
    @pytest.mark.parametrize("axes", [1, 2, 3, 4])
    @pytest.mark.parametrize("levels", [None, 4])
    def test_it_is_what_brute_force_finds(self, seed: int, axes: int, levels: int | None) -> None:
        points = random_points(seed, 60, axes, levels=levels)
        best = {point for point in points if not any(dominates(other, point) for other in points)}
        expected = sorted(points.index(point) for point in best)
        assert sorted(trials(pareto_front(entries(points), objectives(axes)))) == expected

    @pytest.mark.parametrize("seed", range(5))
    def test_the_order_of_the_entries_is_no_matter(self, seed: int) -> None:
        found = entries(random_points(seed, 40, 2, levels=5))
        shuffled = [found[i] for i in np.random.default_rng(seed).permutation(len(found))]
        assert pareto_front(shuffled, objectives(2)) == pareto_front(found, objectives(2))

    def test_smaller_may_be_better(self) -> None:
        found = entries([(1, 5), (2, 6), (2, 5), (0, 4)])
        assert trials(pareto_front(found, objectives(2, "max", "min"))) == [3, 2]

    def test_identical_points_keep_the_lowest_trial(self) -> None:
        found = [entry(9, 1, 1), entry(2, 1, 1), entry(5, 1, 1)]
        for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
            assert trials(pareto_front([found[i] for i in order], objectives(2))) == [2]

    @pytest.mark.parametrize("missing", [{}, {"b": None}, {"b": math.nan}, {"b": math.inf}])
    def test_a_missing_metric_never_enters_and_never_dominates(self, missing: dict[str, Any]) -> None:
        strange = Entry("strange", 0, {"a": 99.0} | missing)
        assert trials(pareto_front([strange, entry(1, 1, 1)], objectives(2))) == [1]
        assert pareto_front([strange], objectives(2)) == []

    def test_the_best_last_objective_comes_first(self) -> None:
        assert trials(pareto_front(entries([(3, 1), (1, 3), (2, 2)]), objectives(2))) == [1, 2, 0]

    def test_nothing_has_no_front(self) -> None:
        assert pareto_front([], objectives(2)) == []


def measured(trial: int, cosine: float, ratio: float, half_width: float) -> Entry:
    speedup = {"ratio": ratio, "ci95": [ratio - half_width, ratio + half_width]}
    return Entry(f"id{trial}", trial, {"cosine": cosine, "speedup": speedup})


class TestTies:
    BOTH = (Objective("cosine", "max"), Objective("speedup", "max"))

    def test_overlapping_intervals(self) -> None:
        member, other = measured(0, 0.99, 3.0, 0.2), measured(1, 0.99, 2.9, 0.2)
        assert tied_members(other, [member], self.BOTH) == ["id0"]

    def test_separate_intervals(self) -> None:
        member, other = measured(0, 0.99, 3.0, 0.04), measured(1, 0.99, 2.9, 0.04)
        assert tied_members(other, [member], self.BOTH) == []

    def test_a_metric_without_an_interval_is_exact(self) -> None:
        member, other = measured(0, 0.9900001, 3.0, 0.2), measured(1, 0.99, 2.9, 0.2)
        assert tied_members(other, [member], self.BOTH) == []

    def test_one_clearly_better_member_is_enough(self) -> None:
        near, far = measured(0, 0.99, 3.0, 0.2), measured(2, 0.99, 4.0, 0.2)
        other = measured(1, 0.99, 2.9, 0.2)
        assert tied_members(other, [near], self.BOTH) == ["id0"]
        assert tied_members(other, [near, far], self.BOTH) == []

    def test_members_that_do_not_dominate_are_no_matter(self) -> None:
        near, elsewhere = measured(0, 0.99, 3.0, 0.2), measured(2, 0.5, 9.0, 0.2)
        assert tied_members(measured(1, 0.99, 2.9, 0.2), [near, elsewhere], self.BOTH) == ["id0"]

    def test_several_members(self) -> None:
        front = [measured(0, 0.99, 3.0, 0.2), measured(2, 0.99, 3.05, 0.2)]
        assert tied_members(measured(1, 0.99, 2.9, 0.2), front, self.BOTH) == ["id0", "id2"]

    def test_smaller_may_be_better(self) -> None:
        def slow(trial: int, p50: float) -> Entry:
            return Entry(f"id{trial}", trial, {"latency_ms": {"p50": p50, "ci95": [p50 - 0.1, p50 + 0.1]}})

        latency = [Objective("latency_ms", "min")]
        assert tied_members(slow(1, 2.15), [slow(0, 2.0)], latency) == ["id0"]
        assert tied_members(slow(1, 2.25), [slow(0, 2.0)], latency) == []

    def test_a_missing_metric_ties_with_nothing(self) -> None:
        assert tied_members(Entry("x", 1, {"cosine": 0.99}), [measured(0, 0.99, 3.0, 0.2)], self.BOTH) == []


class TestHypervolume:
    @pytest.mark.parametrize(
        ("points", "reference", "volume"),
        [
            ([], (0.0, 0.0), 0.0),
            ([(2.0,)], (0.5,), 1.5),
            ([(1.0,), (3.0,)], (0.0,), 3.0),
            ([(2.0, 3.0)], (0.0, 0.0), 6.0),
            ([(2.0, 3.0)], (1.0, 1.0), 2.0),
            ([(3.0, 1.0), (1.0, 3.0)], (0.0, 0.0), 5.0),
            ([(3.0, 1.0), (2.0, 2.0), (1.0, 3.0)], (0.0, 0.0), 6.0),
            ([(3.0, 1.0), (2.0, 2.0), (1.0, 3.0), (1.0, 1.0)], (0.0, 0.0), 6.0),
            ([(-1.0, 2.0)], (-3.0, 0.0), 4.0),
            ([(1.0, 2.0, 3.0)], (0.0, 0.0, 0.0), 6.0),
            ([(2.0, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 2.0)], (0.0, 0.0, 0.0), 4.0),
            ([(3.0, 2.0, 1.0), (1.0, 2.0, 3.0)], (0.0, 0.0, 0.0), 10.0),
            ([(1.0, 1.0, 1.0, 1.0), (2.0, 1.0, 1.0, 1.0)], (0.0, 0.0, 0.0, 0.0), 2.0),
        ],
    )
    def test_by_hand(self, points: list[Point], reference: Point, volume: float) -> None:
        assert hypervolume(points, reference) == pytest.approx(volume)

    @pytest.mark.parametrize("outside", [(0.0, 5.0), (5.0, 0.0), (-1.0, 9.0), (0.0, 0.0)])
    def test_points_that_are_not_above_the_reference_add_nothing(self, outside: Point) -> None:
        assert hypervolume([outside], (0.0, 0.0)) == 0.0
        assert hypervolume([(1.0, 1.0), outside], (0.0, 0.0)) == 1.0

    @pytest.mark.parametrize("axes", [2, 3, 4])
    @pytest.mark.parametrize("seed", range(3))
    def test_it_agrees_with_a_count_of_random_points(self, seed: int, axes: int) -> None:
        points = random_points(seed, 12, axes)
        darts = np.random.default_rng(seed + 100).random((100_000, axes))
        below = np.zeros(len(darts), bool)
        for point in points:
            below |= (darts <= point).all(axis=1)
        assert hypervolume(points, (0.0,) * axes) == pytest.approx(below.mean(), abs=0.008)

    @pytest.mark.parametrize("seed", range(5))
    def test_it_agrees_with_inclusion_and_exclusion(self, seed: int) -> None:
        points = random_points(seed, 7, 3)
        expected = sum(
            (-1) ** (size + 1) * math.prod(map(min, zip(*chosen, strict=True)))
            for size in range(1, len(points) + 1)
            for chosen in combinations(points, size)
        )
        assert hypervolume(points, (0.0, 0.0, 0.0)) == pytest.approx(expected)

    def test_only_the_front_counts(self) -> None:
        points = random_points(0, 40, 3)
        front = [point for point in points if not any(dominates(other, point) for other in points)]
        assert hypervolume(points, (0.0,) * 3) == pytest.approx(hypervolume(front, (0.0,) * 3))

    def test_a_better_point_never_makes_it_smaller(self) -> None:
        points = random_points(0, 20, 3)
        volumes = [hypervolume(points[:count], (0.0,) * 3) for count in range(len(points) + 1)]
        assert volumes == sorted(volumes)


class TestReference:
    def test_by_hand(self) -> None:
        chosen = [
            Objective("cosine", "max"),
            Objective("speedup", "max"),
            Objective("size_bytes", "min"),
            Objective("latency_ms.p90", "min"),
            Objective("unknown", "max"),
        ]
        baseline = {"cosine": 1.0, "speedup": {"ratio": 1.01}, "size_bytes": 400, "latency_ms": {"p50": 1, "p90": 2}}
        assert reference_point(chosen, baseline) == {
            "cosine": 0.9,
            "speedup": 1.0,
            "size_bytes": 400.0,
            "latency_ms.p90": 2.0,
            "unknown": 0.0,
        }

    def test_what_compression_costs_counts_a_tenth_below_the_baseline_whatever_its_sign(self) -> None:
        chosen = [Objective("nll", "min"), Objective("neg_mse", "max"), Objective("peak_memory_bytes", "min")]
        baseline = {"nll": 0.5, "neg_mse": -0.5, "peak_memory_bytes": 100}
        reference = reference_point(chosen, baseline)
        assert reference == {"nll": 0.55, "neg_mse": -0.55, "peak_memory_bytes": 100.0}
        assert hypervolume([(-0.501, -0.51, -50.0)], floor_of(chosen, reference)) > 0


class TestBestCompromise:
    def test_the_member_that_dominates_most_alone(self) -> None:
        front = pareto_front(entries([(1.0, 0.0), (0.9, 0.9), (0.0, 1.0), (0.95, 0.3)]), objectives(2))
        assert chosen(front, {"a": 0.0, "b": 0.0}).trial == 1

    def test_a_narrow_objective_does_not_weigh_as_much_as_a_wide_one(self) -> None:
        front = pareto_front(entries([(0.99998, 3.5), (0.999998, 1.6), (1.0, 1.0)]), objectives(2))
        assert chosen(front, {"a": 1.0, "b": 1.0}).trial == 0

    def test_where_none_lies_above_the_reference_the_one_that_loses_least_where_it_loses_most(self) -> None:
        front = pareto_front(entries([(1.0, 0.5), (0.4, 1.0), (0.8, 0.9)]), objectives(2))
        assert chosen(front, {"a": 0.9, "b": 0.95}).trial == 0

    def test_one_that_is_better_in_nothing_is_none(self) -> None:
        front = pareto_front(entries([(1.0, 0.5), (0.4, 1.0), (0.8, 0.9)]), objectives(2))
        assert best_compromise(front, objectives(2), {"a": 2.0, "b": 2.0}) is None

    def test_noise_is_no_gain(self) -> None:
        both = [Objective("accuracy", "max"), Objective("speedup", "max")]
        faster = [
            Entry(name, n, {"accuracy": 0.95, "speedup": {"ratio": ratio, "ci95": [ratio - 0.02, ratio + 0.02]}})
            for n, (name, ratio) in enumerate([("noise", 1.01), ("gain", 1.05)])
        ]
        baseline = {"accuracy": 0.97, "speedup": {"ratio": 1.0}}
        best = best_compromise(faster, both, baseline)
        assert best is not None
        assert best.candidate_id == "gain"
        assert best_compromise(faster[:1], both, baseline) is None

    @pytest.mark.parametrize(
        ("metric", "direction", "quality"),
        [("nll", "min", (4.8, 0.501)), ("nll", "min", (4.8, 0.9)), ("neg_mse", "max", (-9.0, -0.52)),
         ("error", "min", (0.4, 0.0))],
    )  # fmt: skip
    def test_it_is_never_the_worst_model_for_being_the_fastest(
        self, metric: str, direction: Any, quality: tuple[float, float]
    ) -> None:
        both = [Objective(metric, direction), Objective("speedup", "max")]
        baseline = {metric: {"nll": 0.5, "neg_mse": -0.5, "error": 0.0}[metric], "speedup": 1.0}
        found = [Entry(f"id{n}", n, {metric: quality[n], "speedup": (3.3, 2.9)[n]}) for n in range(2)]
        best = best_compromise(pareto_front(found, both), both, baseline)
        assert best is not None
        assert best.trial == 1

    def test_smaller_is_better(self) -> None:
        smaller = [Objective("a", "max"), Objective("b", "min")]
        front = pareto_front(entries([(1.0, 9.0), (0.9, 2.0), (0.2, 1.0)]), smaller)
        found = best_compromise(front, smaller, {"a": 0.0, "b": 10.0})
        assert found is not None
        assert found.trial == 1

    def test_of_none(self) -> None:
        assert best_compromise([], objectives(2), {"a": 0.0, "b": 0.0}) is None


def chosen(front: list[Entry], baseline: dict[str, float]) -> Entry:
    found = best_compromise(front, objectives(2), baseline)
    assert found is not None
    return found
