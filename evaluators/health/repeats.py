"""Remembers how much a pair's speed-up varies between measurements made at different times."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evaluators.health.notes import Notes

EXPECTED = {True: 0.01, False: 0.05}
"""Expected standard deviation (as a share) of a ratio between measurements on an unknown machine: if all were healthy,
and in general."""

EXPECTED_WEIGHT = 4
"""Weight of that expectation, in repetitions."""

APART_S = 20.0
"""Measurements closer together count as made at the same time."""

VAGUE = 0.0125
"""Standard deviation of a single ratio above which a measurement is too vague to learn from."""

KEPT = 6
"""Measurements kept per pair."""
_PAIRS = 200
_Z = 1.96


class Repeats:
    """Speed-ups of the same pairs measured at different times, in one file per ``key``.

    The key names a profile and the candidates' runtime: some runtimes' kernels suffer more from other load.

    The interval of a single measurement covers only variation within it. Variation between measurements (another tenant
    of the host, memory placement) shows only when the same pair is measured again: the variance between groups in a
    one-way layout with random effects (Searle, Casella and McCulloch, Variance Components, 1992), pooled over pairs.
    """

    def __init__(self, folder: Path, key: str, now: Callable[[], float] = time.time) -> None:
        self._notes = Notes(folder / f"repeats-{key[:16]}.json", width=4, names=_PAIRS, kept=KEPT)
        self._now = now

    def remember(self, pair: str, ratio: float, interval: tuple[float, float], *, healthy: bool) -> None:
        """Adds a measurement of a pair with its 95 % interval.

        Ignores one that is too vague, or too close in time to the last.
        """
        earlier, deviation = self._notes.read().get(pair, []), math.log(interval[1] / interval[0]) / 2 / _Z
        if deviation > VAGUE or (earlier and self._now() - earlier[-1][0] < APART_S):
            return
        self._notes.add(pair, (self._now(), math.log(ratio), deviation, healthy))

    def share(self, *, healthy: bool) -> float:
        """Returns the standard deviation of a ratio between measurements, beyond their own intervals, as a share
        (0.01: 1 %).

        Of healthy measurements only, or of all.
        """
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
    """Widens a ratio's 95 % interval by an independent standard deviation of ``share`` of the ratio."""
    if share == 0:
        return interval
    low, high = (math.hypot(math.log(end / ratio), _Z * share) for end in interval)
    return ratio * math.exp(-low), ratio * math.exp(high)
