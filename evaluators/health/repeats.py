"""How far a pair's speed-up moves from one moment of a machine to another, however narrow its interval each time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evaluators.health.notes import Notes

EXPECTED = {True: 0.01, False: 0.05}
"""Standard deviation (as a share) of a ratio between healthy moments, and between any, of a machine that is not known
yet."""

EXPECTED_WEIGHT = 4
"""So many repetitions that expectation is worth."""

APART_S = 20.0
"""Measurements closer to one another are of one moment."""

VAGUE = 0.0125
"""Standard deviation of a ratio by its own interval, beyond which nothing can be learnt from it."""

KEPT = 6
_PAIRS = 200
_Z = 1.96


class Repeats:
    """Speed-ups that were measured of one pair at different moments, in one file for whatever ``key`` names: a profile
    and the candidates' runtime, since some runtimes' kernels suffer more from what else a machine does than others'.

    The bootstrap inside a measurement sees what changes within it. What changes between moments (another tenant of the
    host, where things lie in memory) shows only when the same pair is measured again: the variance between groups in a
    one-way layout with random effects (Searle, Casella and McCulloch, Variance Components, 1992), pooled over pairs.
    """

    def __init__(self, folder: Path, key: str, now: Callable[[], float] = time.time) -> None:
        self._notes = Notes(folder / f"repeats-{key[:16]}.json", width=4, names=_PAIRS, kept=KEPT)
        self._now = now

    def remember(self, pair: str, ratio: float, interval: tuple[float, float], *, healthy: bool) -> None:
        """Adds a measurement of a pair with its 95 % interval; a vague one, or one of the same moment as the last, says
        too little and is left out."""
        known, deviation = self._notes.read().get(pair, []), math.log(interval[1] / interval[0]) / 2 / _Z
        if deviation > VAGUE or (known and self._now() - known[-1][0] < APART_S):
            return
        self._notes.add(pair, (self._now(), math.log(ratio), deviation, healthy))

    def share(self, *, healthy: bool) -> float:
        """The standard deviation, beyond what its interval says, of a ratio between moments at which the machine was
        healthy, else between any (0.01: one percent)."""
        squares, freedom = 0.0, 0
        for entries in self._notes.read().values():
            rows = np.array([row for row in entries if row[3] or not healthy])
            if len(rows) > 1:
                ratios, within = rows[:, 1], rows[:, 2]
                squares += float(np.sum((ratios - ratios.mean()) ** 2) - (len(rows) - 1) * np.mean(within**2))
                freedom += len(rows) - 1
        variance = (EXPECTED_WEIGHT * EXPECTED[healthy] ** 2 + squares) / (EXPECTED_WEIGHT + freedom)
        return math.sqrt(max(0.0, variance))


def widen(ratio: float, interval: tuple[float, float], share: float) -> tuple[float, float]:
    """A ratio's 95 % interval with a further, independent standard deviation of ``share`` of it."""
    if share == 0:
        return interval
    low, high = (math.hypot(math.log(end / ratio), _Z * share) for end in interval)
    return ratio * math.exp(-low), ratio * math.exp(high)
