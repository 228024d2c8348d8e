"""The 95 % interval of a mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Returns the mean with the lower and the upper end of its interval by Student's t; of one value it is infinite."""
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)) if len(values) > 1 else math.inf
    return mean, mean - half, mean + half


def verdict(low: float, high: float) -> str:
    """Says what an interval of differences means: a difference is clear where it excludes 0."""
    return "won" if low > 0 else "lost" if high < 0 else "tied"
