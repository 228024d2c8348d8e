"""Intervals: the bootstrap behind the product's figures, and Student's where there is too little to resample."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluators.student import quantile

Floats = NDArray[np.float64]

RESAMPLES = 1000
"""Bootstrap resamples; the 2.5 % quantile of 1000 is good to about a tenth of the interval's width."""

FEWEST_RESAMPLED = 16
"""Clusters from which on a median's interval is resampled; a bootstrap of three holds the true value three times in
four, of eight nine times in ten."""

_PICKS_AT_ONCE = 1_000_000
"""Bounds the memory of a resampling of many samples, to about 25 MB."""

# With so many samples the chance that none of them lies beyond the true percentile is 0.13 %, that of three sigma.
PERCENTILE_SAMPLES = {90: 64, 95: 130, 99: 662}


def cluster_means(values: Floats, clusters: NDArray[np.int64] | None) -> tuple[Floats, Floats]:
    """Sums and sizes of each cluster, both ``(clusters,)``; every value its own cluster where none are given."""
    if clusters is None:
        return values.astype(np.float64), np.ones(len(values))
    _, index = np.unique(clusters, return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def mean_interval(values: Floats, clusters: NDArray[np.int64] | None = None, *, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of a mean over ``values`` ``(samples,)``, resampled by cluster.

    Samples made from one source (eight distortions of an image) are not independent, their source images are.
    """
    sums, sizes = cluster_means(values, clusters)
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, RESAMPLES, rows := max(1, _PICKS_AT_ONCE // len(sums))):
        picks = rng.integers(0, len(sums), (min(rows, RESAMPLES - start), len(sums)))
        means.append(sums[picks].sum(axis=1) / sizes[picks].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return float(low), float(high)


def median_interval(values: Floats, clusters: Floats, *, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of a median over ``values`` ``(n,)``, resampled by cluster.

    Blocks timed in one session share its luck (memory placement moves a session by up to 2 %), so whole sessions are
    resampled, not blocks. With fewer than :data:`FEWEST_RESAMPLED` clusters it is Student's interval (Biometrika, 1908)
    on the logarithms of their medians, for which values must be positive. A single cluster has no width.
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
    """Holds ``center``, the median of all, too."""
    logs = np.log([np.median(group) / center for group in groups])
    if len(logs) == 1:
        return center, center
    mean, half = float(logs.mean()), quantile(len(logs) - 1, 0.95) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return center * math.exp(min(0.0, mean - half)), center * math.exp(max(0.0, mean + half))
