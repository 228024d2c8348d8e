"""Learning-rate schedule."""

from __future__ import annotations

import math


def learning_rate_factor(step: int, steps: int, warm_up: float) -> float:
    """Computes the factor of the learning rate at ``step`` (from 0) of ``steps``: above 0, at most 1.

    Rises linearly over the share ``warm_up`` of the steps (Goyal et al., arXiv:1706.02677, 2017), then falls along half
    a cosine (Loshchilov and Hutter, ICLR 2017).
    """
    rising = round(warm_up * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
