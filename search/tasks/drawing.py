"""Samples drawn from a split: whoever sorted it by class or by day must not decide what is seen of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SEED = 1307
"""Always the same: equal data give equal draws in every process and job, and a smaller draw begins a larger one."""


def draw_samples(count: int, most: int) -> NDArray[np.int64]:
    """Which of ``count`` samples to take where ``most`` are wanted: without repeats, in an order of their own."""
    return np.random.default_rng(_SEED).permutation(count)[:most]
