"""Random draws of samples, so that the order of a split (by class or by day) does not bias what is used of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SEED = 1307
"""Fixed: equal data give equal draws in every process and job, and a smaller draw is the beginning of a larger one."""


def draw_samples(count: int, most: int) -> NDArray[np.int64]:
    """Draws the numbers of up to ``most`` of ``count`` samples, without repeats and in random order."""
    return np.random.default_rng(_SEED).permutation(count)[:most]
