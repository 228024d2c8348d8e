"""Session pairs' intervals and the stop rule, on series that are made up: how often the true ratio is held."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from evaluators.measuring.latency import Protocol
from evaluators.measuring.pairs import narrowing, ratio_interval, shift, typical
from evaluators.measuring.statistics import Floats
from evaluators.measuring.stopping import Stopping
from evaluators.measuring.throughput import Load

TIMES = 1500
PAIR_S = 0.25


def normal(rng: np.random.Generator, count: int) -> Floats:
    return rng.standard_normal(count)


def heavy_tailed(rng: np.random.Generator, count: int) -> Floats:
    """As sessions are that an occasional burst of load hits."""
    return rng.standard_t(3, count) / math.sqrt(3)


def drifting(rng: np.random.Generator, count: int) -> Floats:
    """A machine that slows down and recovers: each pair sees a slope, in a direction that the order of its models
    draws."""
    slope = np.sin(np.arange(count) / 5 + rng.uniform(0, 6))
    return (rng.standard_normal(count) + slope * rng.choice([-1, 1], count)) / math.sqrt(1.5)


def stopped(draws: Floats, protocol: Protocol | Load) -> tuple[Floats, float]:
    """The pairs of a measurement that ends by its rule, and its half-width."""
    stopping = Stopping(protocol.limits)
    for pairs in range(1, len(draws) + 1):
        if stopping.looks(pairs, pairs * PAIR_S):
            ratio, (low, high) = ratio_interval(draws[:pairs])
            width = (high - low) / 2 / ratio
            if stopping.over(width, pairs * PAIR_S) or stopping.hopeless(width, pairs, pairs * PAIR_S):
                return draws[:pairs], width
    raise AssertionError("a measurement that does not end")


class TestCoverage:
    @pytest.mark.parametrize("deviation", [0.005, 0.015, 0.03, 0.05])
    @pytest.mark.parametrize("kind", [normal, heavy_tailed, drifting])
    def test_with_the_stop_rule(self, kind: Callable[[np.random.Generator, int], Floats], deviation: float) -> None:
        """Whoever stops as soon as an interval is narrow stops too often at one that is narrow by luck: the bootstrap
        of before then held the truth in 84 to 89 of 100 cases."""
        rng = np.random.default_rng(11)
        held = 0
        for _ in range(TIMES):
            pairs, _ = stopped(deviation * kind(rng, 250), Protocol())
            low, high = ratio_interval(pairs)[1]
            held += low <= 1.0 <= high
        assert 0.93 <= held / TIMES <= 0.975

    def test_of_throughput(self) -> None:
        rng = np.random.default_rng(3)
        intervals = [ratio_interval(stopped(0.03 * normal(rng, 400), Load())[0])[1] for _ in range(TIMES)]
        assert 0.93 <= sum(low <= 1 <= high for low, high in intervals) / TIMES <= 0.975

    def test_sessions_as_they_are_timed(self) -> None:
        """From single inferences: most of them take as long as the last, some are held up, sessions differ."""
        rng = np.random.default_rng(5)
        held = 0
        for _ in range(TIMES):
            shape = (2, 12, 20)
            luck = np.exp(0.01 * rng.standard_normal((2, 12, 1)))
            times = luck * (
                1 + 0.05 * rng.exponential(size=shape) + (rng.random(shape) < 0.1) * rng.exponential(3, shape)
            )
            logs = np.array([math.log(typical(ours) / typical(theirs)) for ours, theirs in zip(*times, strict=True)])
            low, high = ratio_interval(logs)[1]
            held += low <= 1.0 <= high
        assert 0.93 <= held / TIMES <= 0.975


class TestStop:
    def test_three_percent_wide_is_narrowed_no_further_than_two_after_a_while(self) -> None:
        rng = np.random.default_rng(0)
        found = [stopped(0.03 * normal(rng, 250), Protocol()) for _ in range(50)]
        assert all(width <= Protocol().half_width for _, width in found)
        assert np.median([len(pairs) * PAIR_S for pairs, _ in found]) <= 5.0

    def test_a_quiet_machine_is_measured_to_one_percent(self) -> None:
        rng = np.random.default_rng(0)
        widths = [stopped(0.01 * normal(rng, 250), Protocol())[1] for _ in range(50)]
        assert np.median(widths) <= 0.01

    @pytest.mark.parametrize(("width", "hopeless"), [(0.14, False), (0.16, True)])
    def test_three_pairs_of_a_slow_model_are_given_a_fourth(self, width: float, hopeless: bool) -> None:
        """A fourth narrows the interval by 0.64, not by the square root of 3/4."""
        assert narrowing(3, 4) == pytest.approx(0.63, abs=0.02)
        assert Stopping(Protocol().limits).hopeless(width, 3, 45.0) is hopeless

    def test_nothing_is_hopeless_before_the_limit_and_everything_after_all_patience(self) -> None:
        stopping = Stopping(Protocol().limits)
        assert not stopping.hopeless(5.0, 8, Protocol().max_s - 0.1)
        assert stopping.hopeless(0.11, 8, Protocol().patience_s)

    def test_throughput_tolerates_what_latency_does(self) -> None:
        assert (Load().usable_width, Load().half_width) == (Protocol().usable_width, Protocol().half_width)
        assert Load().patience_s == Protocol().patience_s


class TestShift:
    @pytest.mark.parametrize("pairs", [8, 12, 30])
    def test_a_steady_ratio_hardly_ever_seems_to_move(self, pairs: int) -> None:
        rng = np.random.default_rng(2)
        assert sum(shift(0.01 * normal(rng, pairs)) > 0 for _ in range(400)) <= 6

    @pytest.mark.parametrize("place", [3, 6, 12, 20])
    def test_one_that_moves_is_seen_to(self, place: int) -> None:
        rng = np.random.default_rng(2)
        moved = [shift(0.01 * normal(rng, 24) + 0.06 * (np.arange(24) >= place)) for _ in range(50)]
        assert np.median(moved) == pytest.approx(0.06, abs=0.015)
        assert min(moved) > 0

    @pytest.mark.parametrize("logs", [np.zeros(10), np.full(10, 0.7), np.array([0.1]), np.array([0.1, 0.2, 0.1, 0.3])])
    def test_nothing_moves_where_nothing_varies_or_too_little_is_known(self, logs: Floats) -> None:
        assert shift(logs) == 0.0

    def test_a_clean_step(self) -> None:
        assert shift(np.array([0.0] * 6 + [math.log(1.5)] * 6)) == pytest.approx(0.5)


def test_the_typical_time_is_of_the_faster_half() -> None:
    assert typical([4.0, 1.0, 2.0, 90.0]) == 1.5
    assert typical([3.0]) == 3.0
    assert typical([1.0, 2.0, 900.0]) == 1.5
