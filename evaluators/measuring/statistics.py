"""Confidence intervals of means and medians: bootstrap, Wilson's, or Student's if there is too little to resample."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluators.measuring.student import quantile

Floats = NDArray[np.float64]

RESAMPLES = 1000
"""Bootstrap resamples; the 2.5 % quantile of 1000 is accurate to about a tenth of the interval's width."""

FEWEST_RESAMPLED = 16
"""Fewest clusters for a bootstrap of a median: with three clusters its interval contains the true value in 75 % of
cases, with eight in 90 %."""

_Z = 1.96
"""The normal distribution's 97.5 % quantile."""

_PICKS_AT_ONCE = 1_000_000
"""Bounds the memory of resampling to about 25 MB."""

# Samples needed for a percentile: the probability that none lies beyond the true one is then 0.13 % (three sigma).
PERCENTILE_SAMPLES = {90: 64, 95: 130, 99: 662}


def cluster_means(values: Floats, clusters: NDArray[np.int64] | None) -> tuple[Floats, Floats]:
    """Sums and sizes of the clusters, both ``(clusters,)``; without ``clusters`` each value is its own."""
    if clusters is None:
        return values.astype(np.float64), np.ones(len(values))
    _, index = np.unique(clusters, return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def mean_interval(values: Floats, clusters: NDArray[np.int64] | None = None, *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of a mean over ``values`` ``(samples,)``: a bootstrap, resampled by cluster.

    Samples made from one source (eight distortions of an image) are not independent, but their sources are. If all
    values are 0 or the same positive number, as with an accuracy, it is Wilson's interval (JASA, 1927): with few errors
    (or none) a bootstrap has too little to resample.
    """
    sums, sizes = cluster_means(values, clusters)
    if len(values) > 1 and (top := _only_zero_and(values)) is not None:
        return _wilson_interval(sums / top, sizes, top)
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, RESAMPLES, rows := max(1, _PICKS_AT_ONCE // len(sums))):
        picks = rng.integers(0, len(sums), (min(rows, RESAMPLES - start), len(sums)))
        means.append(sums[picks].sum(axis=1) / sizes[picks].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return float(low), float(high)


def difference_interval(
    values: Floats, reference: Floats, clusters: NDArray[np.int64] | None = None, *, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean of ``values - reference``, two figures of each sample ``(samples,)``, by cluster.

    If all figures are 0 or the same positive number, it is the adjusted Wald interval for paired proportions of Bonett
    and Price (J. Educ. Behav. Stat., 2012). It adds one sample that only the first gets right and one that only the
    second does, so that no loss among 200 samples does not count as no loss at all.
    """
    difference = values.astype(np.float64) - reference
    top = _only_zero_and(np.concatenate([values, reference]))
    if top is None:
        return mean_interval(difference, clusters, seed=seed)
    sums, sizes = cluster_means(difference / top, clusters)
    n = float(sizes.sum())
    mean = float(sums.sum()) / (n + 2)
    deviation = math.sqrt(float(np.sum((sums - sizes * sums.sum() / n) ** 2)) + 2) / (n + 2)
    return top * max(-1.0, mean - _Z * deviation), top * min(1.0, mean + _Z * deviation)


def _only_zero_and(values: Floats) -> float | None:
    """Returns the positive number that all non-zero values equal; None if they differ or there are none."""
    top = float(values.max())
    return top if top > 0 and bool(np.all((values == 0) | (values == top))) else None


def _wilson_interval(hits: Floats, sizes: Floats, top: float) -> tuple[float, float]:
    """Wilson's interval of the mean of values that are 0 or ``top``, from each cluster's hits and size.

    Samples within a cluster count less by the design effect (Kish, Survey Sampling, 1965).
    """
    n = float(sizes.sum())
    share = float(hits.sum()) / n
    apart = share * (1 - share)
    spread = float(np.sum((hits - sizes * share) ** 2)) / n
    # If all hit or all miss, the similarity within clusters is unknown: each cluster counts once.
    n /= max(1.0, spread / apart) if apart > 0 else n / len(sizes)
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return top * max(0.0, min(share, centre - half)), top * min(1.0, max(share, centre + half))


def median_interval(values: Floats, clusters: Floats, *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of a median over ``values`` ``(n,)``: a bootstrap, resampled by cluster.

    Blocks of one session share its memory placement, which changes times by up to 2 %, so whole sessions are resampled.
    With fewer than :data:`FEWEST_RESAMPLED` clusters it is Student's interval (Biometrika, 1908) of the logarithms of
    their medians; values must be positive. The interval of a single cluster is a point.
    """
    groups = [values[clusters == cluster] for cluster in np.unique(clusters)]
    if len(groups) < FEWEST_RESAMPLED:
        return _student_interval(groups, float(np.median(values)))
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(groups), (RESAMPLES, len(groups)))
    if len({len(group) for group in groups}) == 1:
        medians = np.median(np.stack(groups)[picks].reshape(RESAMPLES, -1), axis=1)
    else:
        medians = np.array([np.median(np.concatenate([groups[i] for i in row])) for row in picks])
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(low), float(high)


def _student_interval(groups: Sequence[Floats], center: float) -> tuple[float, float]:
    """Student's interval of the groups' medians, extended to contain ``center``, the median of all values."""
    logs = np.log([np.median(group) / center for group in groups])
    if len(logs) == 1:
        return center, center
    mean, half = float(logs.mean()), quantile(len(logs) - 1, 0.95) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return center * math.exp(min(0.0, mean - half)), center * math.exp(max(0.0, mean + half))
