"""What policies that learn by REINFORCE share: the baseline of rewards, and the weight of the entropy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Baseline:
    """The reward that is expected without knowing the choices.

    For several samples of a step it is, for each, the mean of the others (leave one out: Kool et al., *Buy 4 REINFORCE
    Samples, Get a Baseline for Free!*, 2019); for a single sample the moving average of earlier rewards.

    >>> Baseline(0.95).advantages([1.0, 3.0])
    [-2.0, 2.0]
    """

    momentum: float
    average: float | None = None
    """Moving average of the mean rewards of all steps; None before the first."""

    def advantages(self, rewards: Sequence[float]) -> list[float]:
        """Subtracts the baseline from each reward, then updates the moving average."""
        mean = sum(rewards) / len(rewards)
        before = mean if self.average is None else self.average
        self.average = self.momentum * before + (1 - self.momentum) * mean
        if len(rewards) == 1:
            return [rewards[0] - before]
        share = len(rewards) / (len(rewards) - 1)
        return [(reward - mean) * share for reward in rewards]


def entropy_weight(final: float, progress: float) -> float:
    """Returns the weight of the entropy at a share of the learning: grows from 0 to ``final`` along half a cosine."""
    return 0.5 * final * (1 - math.cos(math.pi * min(max(progress, 0.0), 1.0)))
