"""Student's t distribution, for machines without SciPy."""

from __future__ import annotations

import math
from functools import lru_cache


def inside(score: float, freedom: int) -> float:
    """Returns the probability that Student's t with ``freedom`` degrees of freedom lies within ± ``score``.

    The finite series for whole degrees of freedom (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3
    and 26.7.4).

    >>> round(inside(2.776, 4), 3)
    0.95
    """
    angle = math.atan(score / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (power + 1) / (power + 2)
    return (angle + sine * total) * 2 / math.pi if odd else sine * total


@lru_cache(maxsize=4096)
def quantile(freedom: int, confidence: float) -> float:
    """The score within whose ± Student's t lies with probability ``confidence``.

    >>> round(quantile(4, 0.95), 3)
    2.776
    """
    low, high = 0.0, 1.0
    while inside(high, freedom) < confidence:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if inside(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return high
