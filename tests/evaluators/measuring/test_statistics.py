"""Intervals hold what they promise: the true value, in about 95 of 100 draws."""

from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from evaluators.measuring.statistics import (
    PERCENTILE_SAMPLES,
    Floats,
    cluster_means,
    difference_interval,
    mean_interval,
    median_interval,
)

DRAWS = 200


def _clustered(rng: np.random.Generator, clusters: int, size: int) -> tuple[Floats, Floats]:
    """Values around 0; a cluster's share their luck, which is as large as that of a single value."""
    values = rng.standard_normal((clusters, 1)) + rng.standard_normal((clusters, size))
    return values.ravel(), np.repeat(np.arange(clusters), size)


def _share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


class TestMean:
    @pytest.mark.parametrize("kind", ["normal", "fractions", "skewed"])
    def test_coverage(self, kind: str) -> None:
        hits = []
        for seed in range(DRAWS):
            rng = np.random.default_rng(seed)
            draw, mean = {
                "normal": (rng.standard_normal(60), 0.0),
                "fractions": ((rng.random(60) < 0.8).astype(float), 0.8),
                "skewed": (rng.exponential(1.0, 60), 1.0),
            }[kind]
            low, high = mean_interval(draw)
            hits.append(low <= mean <= high)
        assert 0.85 <= _share(hits) <= 1.0

    def test_coverage_of_clustered_samples(self) -> None:
        clustered, naive = [], []
        for seed in range(DRAWS):
            values, clusters = _clustered(np.random.default_rng(seed), 40, 8)
            low, high = mean_interval(values, clusters)
            clustered.append(low <= 0.0 <= high)
            low, high = mean_interval(values)
            naive.append(low <= 0.0 <= high)
        assert 0.85 <= _share(clustered) <= 1.0
        assert _share(naive) < 0.75  # what ignoring the clusters would promise

    def test_copies_of_a_sample_add_nothing(self) -> None:
        values = np.random.default_rng(0).standard_normal(50)
        copies, clusters = np.repeat(values, 8), np.repeat(np.arange(50), 8)
        assert mean_interval(copies, clusters) == pytest.approx(mean_interval(values))

    def test_names_of_clusters_are_no_matter(self) -> None:
        values, clusters = _clustered(np.random.default_rng(0), 10, 4)
        assert mean_interval(values, clusters * 1000 - 7) == mean_interval(values, clusters)

    def test_clusters_of_unequal_size(self) -> None:
        values = np.array([1.0, 1.0, 1.0, -1.0])
        low, high = mean_interval(values, np.array([0, 0, 0, 1]))
        assert (low, high) == (-1.0, 1.0)

    def test_many_samples_take_little_memory(self) -> None:
        values = np.random.default_rng(0).random(50_000)
        tracemalloc.start()
        try:
            low, high = mean_interval(values)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak_bytes < 100e6
        assert low < values.mean() < high
        assert high - low == pytest.approx(2 * 1.96 * values.std() / len(values) ** 0.5, rel=0.15)


class TestProportions:
    @pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.998])
    @pytest.mark.parametrize("count", [40, 200])
    def test_coverage_however_rare_the_losses(self, count: int, share: float) -> None:
        rng = np.random.default_rng(0)
        draws = (rng.random((1000, count)) < share).astype(float)
        hits = [low <= share <= high for low, high in map(mean_interval, draws)]
        assert _share(hits) >= 0.92

    @pytest.mark.parametrize("top", [1.0, 12.5])
    def test_nothing_lost_is_not_taken_for_nothing_to_lose(self, top: float) -> None:
        low, high = mean_interval(np.full(200, top))
        assert (low, high) == (pytest.approx(top * 0.9812, rel=1e-3), top)

    def test_copies_of_a_sample_add_nothing(self) -> None:
        values = (np.random.default_rng(0).random(50) < 0.8).astype(float)
        copies, clusters = np.repeat(values, 8), np.repeat(np.arange(50), 8)
        assert mean_interval(copies, clusters) == pytest.approx(mean_interval(values))
        assert mean_interval(np.ones(400), clusters) == pytest.approx(mean_interval(np.ones(50)))


class TestDifferences:
    @pytest.mark.parametrize(("lost", "won"), [(0.005, 0.0), (0.01, 0.0), (0.02, 0.01), (0.1, 0.05)])
    @pytest.mark.parametrize("count", [100, 200, 500])
    def test_coverage_however_rare_they_are(self, count: int, lost: float, won: float) -> None:
        hits = []
        for ours, theirs in _flipped(np.random.default_rng(1), 500, count, lost, won):
            low, high = difference_interval(ours, theirs)
            hits.append(low <= won - lost <= high)
        assert _share(hits) >= 0.93

    @pytest.mark.parametrize(("validation", "test", "lost"), [(200, 200, 0.01), (100, 100, 0.02), (500, 1000, 0.005)])
    def test_two_splits_of_one_truth_are_hardly_ever_told_apart(self, validation: int, test: int, lost: float) -> None:
        rng = np.random.default_rng(2)
        pairs = zip(_flipped(rng, 1000, validation, lost), _flipped(rng, 1000, test, lost), strict=True)
        apart = [_disjoint(difference_interval(*ours), difference_interval(*theirs)) for ours, theirs in pairs]
        assert _share(apart) <= 0.01

    def test_none_in_two_hundred(self) -> None:
        ones = np.ones(200)
        low, high = difference_interval(ones, ones)
        assert (low, high) == (pytest.approx(-0.0137, abs=1e-4), pytest.approx(0.0137, abs=1e-4))

    def test_it_scales_with_the_figure(self) -> None:
        ours, theirs = next(iter(_flipped(np.random.default_rng(3), 1, 80, 0.1)))
        low, high = difference_interval(ours, theirs)
        assert difference_interval(20 * ours, 20 * theirs) == pytest.approx((20 * low, 20 * high))

    def test_copies_of_a_sample_add_nothing(self) -> None:
        ours, theirs = next(iter(_flipped(np.random.default_rng(3), 1, 200, 0.2)))
        alone = np.ptp(difference_interval(ours, theirs))
        copies = np.ptp(difference_interval(np.repeat(ours, 8), np.repeat(theirs, 8), np.repeat(np.arange(200), 8)))
        assert copies == pytest.approx(alone, rel=0.05)

    def test_of_any_other_figures_it_is_the_bootstrap_s(self) -> None:
        rng = np.random.default_rng(0)
        ours, theirs = rng.standard_normal((2, 60))
        assert difference_interval(ours, theirs) == mean_interval(ours - theirs)


def _flipped(
    rng: np.random.Generator, draws: int, count: int, lost: float, won: float = 0.0
) -> list[tuple[Floats, Floats]]:
    """Hits of a changed model and of the model it was made from, which differ in a share of samples."""
    u, right = rng.random((draws, count)), rng.random((draws, count)) < 0.9
    theirs = np.where(u < lost, True, np.where(u < lost + won, False, right))
    ours = np.where(u < lost, False, np.where(u < lost + won, True, right))
    return list(zip(ours.astype(float), theirs.astype(float), strict=True))


def _disjoint(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] > b[1] or b[0] > a[1]


class TestMedian:
    @pytest.mark.parametrize(("clusters", "size"), [(8, 4), (20, 4), (40, 1)])
    def test_coverage(self, clusters: int, size: int) -> None:
        hits = []
        for seed in range(DRAWS):
            values, names = _clustered(np.random.default_rng(seed), clusters, size)
            low, high = median_interval(np.exp(0.02 * values), names)
            hits.append(low <= 1.0 <= high)
        assert 0.90 <= _share(hits) <= 1.0

    @pytest.mark.parametrize("clusters", [2, 3, 4, 5, 8, 15])
    def test_coverage_of_few_clusters(self, clusters: int) -> None:
        """Of which a bootstrap would hold the true value in 50 to 86 of 100 draws."""
        hits = []
        for seed in range(2 * DRAWS):
            values, names = _clustered(np.random.default_rng(seed), clusters, 4)
            low, high = median_interval(np.exp(0.02 * values), names)
            hits.append(low <= 1.0 <= high)
        assert 0.925 <= _share(hits) <= 0.98

    @pytest.mark.parametrize("clusters", [2, 3, 5])
    def test_few_clusters_hold_the_median_of_all(self, clusters: int) -> None:
        for seed in range(50):
            values = np.exp(np.random.default_rng(seed).standard_normal(4 * clusters))
            low, high = median_interval(values, np.repeat(np.arange(clusters), 4))
            assert low <= np.median(values) <= high

    def test_three_clusters_by_hand(self) -> None:
        half = 4.3027 * math.log(2) / math.sqrt(3)
        low, high = median_interval(np.array([1.0, 2.0, 4.0]), np.arange(3))
        assert (low, high) == pytest.approx((2 * math.exp(-half), 2 * math.exp(half)), rel=1e-4)

    def test_outliers_do_not_move_it(self) -> None:
        values = np.full(40, 2.0)
        values[[3, 17]] = 1e6
        assert median_interval(values, np.arange(40)) == (2.0, 2.0)

    def test_clusters_of_unequal_size(self) -> None:
        values = np.array([*[1.0] * 12, *[5.0] * 15])
        assert median_interval(values, np.array([*[0] * 12, *range(1, 16)])) == (1.0, 5.0)

    def test_equal_and_unequal_clusters_are_treated_alike(self) -> None:
        """An empty value more or less must not change the way in which an interval is found."""
        rng = np.random.default_rng(0)
        values, clusters = _clustered(rng, 20, 4)
        equal = median_interval(values, clusters)
        unequal = median_interval(values[:-1], clusters[:-1])
        assert unequal == pytest.approx(equal, abs=0.3 * np.ptp(equal))


@pytest.mark.parametrize("interval", [mean_interval, median_interval])
class TestBoth:
    def test_the_same_samples_give_the_same(self, interval: object) -> None:
        assert callable(interval)
        values, clusters = _clustered(np.random.default_rng(0), 20, 4)
        assert interval(values, clusters) == interval(values, clusters)
        assert interval(values, clusters, seed=1) != interval(values, clusters, seed=2)

    def test_a_constant_has_no_width(self, interval: object) -> None:
        assert callable(interval)
        assert interval(np.full(12, -0.25), np.repeat(np.arange(4), 3)) == (-0.25, -0.25)

    def test_a_single_sample(self, interval: object) -> None:
        assert callable(interval)
        assert interval(np.array([0.5]), np.array([0])) == (0.5, 0.5)

    def test_more_clusters_are_narrower(self, interval: object) -> None:
        assert callable(interval)
        widths = [np.ptp(interval(*_clustered(np.random.default_rng(1), clusters, 4))) for clusters in (20, 100, 1000)]
        assert all(a > b for a, b in pairwise(widths))


def test_sums_and_sizes_of_clusters() -> None:
    sums, sizes = cluster_means(np.array([1.0, 2.0, 3.0, 4.0]), np.array([7, 3, 7, 7]))
    assert (sums.tolist(), sizes.tolist()) == ([2.0, 8.0], [1.0, 3.0])
    sums, sizes = cluster_means(np.array([1, 2]), None)
    assert (sums.tolist(), sizes.tolist()) == ([1.0, 2.0], [1.0, 1.0])


@pytest.mark.parametrize(("percent", "samples"), PERCENTILE_SAMPLES.items())
def test_samples_that_a_percentile_needs(percent: int, samples: int) -> None:
    """So many that they hardly ever all lie below it."""
    assert (percent / 100) ** samples <= 0.0013 < (percent / 100) ** (samples - 1)
