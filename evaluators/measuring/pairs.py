"""Statistics over session pairs: a paired ratio with its interval, and whether it changed meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evaluators.measuring.statistics import Floats
from evaluators.measuring.student import inside, quantile

CONFIDENCE = 0.955
"""Confidence level of a ratio's interval. A little above 95 %, since the stop rule looks at the width several times and
ends when it happens to be narrow; in simulations the intervals then contain the true ratio in 94 to 97 % of cases."""

SHIFT_CHANCE = 0.005
"""Significance level of a shift: the probability of reporting one that is chance."""

_FEWEST_PER_SIDE = 3
"""Fewest session pairs on either side of a shift."""


def typical(samples_ms: Sequence[float] | Floats) -> float:
    """Returns the mean of the faster half of ``samples_ms``.

    Disturbances only make inferences slower, so the slower half mostly shows other load. On a core so busy that most
    inferences are disturbed, this helps no more than the median does.
    """
    ordered = np.sort(np.asarray(samples_ms, np.float64), axis=None)
    return float(ordered[: (len(ordered) + 1) // 2].mean())


def log_ratios(
    baseline_ms: Sequence[Sequence[float]], candidate_ms: Sequence[Sequence[float]], sessions: Sequence[int]
) -> Floats:
    """Returns the logarithm of baseline time over candidate time of each session pair, ``(session pairs,)``."""
    names = np.asarray(sessions)
    logs = []
    for pair in np.unique(names):
        blocks = np.flatnonzero(names == pair).tolist()
        ours, theirs = (np.concatenate([rows[block] for block in blocks]) for rows in (baseline_ms, candidate_ms))
        logs.append(math.log(typical(ours) / typical(theirs)))
    return np.array(logs)


def relative_half_width(ratio: float, interval: tuple[float, float]) -> float:
    """Half of the interval's width, as a share of the ratio."""
    return (interval[1] - interval[0]) / 2 / ratio


def ratio_interval(logs: Floats) -> tuple[float, tuple[float, float]]:
    """Returns the geometric mean of session pairs' ratios, given as logarithms ``(pairs,)``, with its interval.

    Student's interval (Biometrika, 1908) with :data:`CONFIDENCE`. The observations are the session pairs, since blocks
    of one session share its memory placement (Kalibera and Jones, ISMM 2013). The interval of a single pair is a point.
    """
    middle = float(np.mean(logs))
    half = 0.0
    if len(logs) > 1:
        half = quantile(len(logs) - 1, CONFIDENCE) * float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    return math.exp(middle), (math.exp(middle - half), math.exp(middle + half))


def narrowing(pairs: int, later: int) -> float:
    """Returns the average factor by which an interval's width changes when ``pairs`` session pairs become ``later``."""

    def width(count: int) -> float:
        return quantile(count - 1, CONFIDENCE) / math.sqrt(count)

    return width(later) / width(pairs)


def shift(logs: Floats) -> float:
    """By which share a ratio changed lastingly within a measurement (0.02: 2 %), as an absolute value; 0 if chance may
    explain it.

    The most likely change point in the series of session pairs' logarithms, as in Worsley (Journal of the American
    Statistical Association, 1979), with Bonferroni's bound on its significance. Benchmarks that reach no steady state
    are common (Barrett et al., OOPSLA 2017); their mean is meaningless.
    """
    splits = range(_FEWEST_PER_SIDE, len(logs) - _FEWEST_PER_SIDE + 1)
    best, moved = 0.0, 0.0
    for split in splits:
        before, after = logs[:split], logs[split:]
        difference = float(after.mean() - before.mean())
        squares = float(((before - before.mean()) ** 2).sum() + ((after - after.mean()) ** 2).sum())
        error = math.sqrt(squares / (len(logs) - 2) * (1 / len(before) + 1 / len(after)))
        score = abs(difference) / error if error > 0 else math.inf if abs(difference) > 1e-12 else 0.0
        if score > best:
            best, moved = score, difference
    chance = min(1.0, len(splits) * (1 - inside(best, len(logs) - 2))) if best else 1.0
    return math.expm1(abs(moved)) if chance < SHIFT_CHANCE else 0.0
