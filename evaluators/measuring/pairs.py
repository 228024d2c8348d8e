"""What session pairs say together: a paired ratio with its interval, and whether it moved meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evaluators.measuring.statistics import Floats
from evaluators.measuring.student import inside, quantile

CONFIDENCE = 0.955
"""Of a ratio's interval. A little above 95 %, since the stop rule looks at the width several times and ends at one that
happens to be narrow; in simulations of the rule the intervals then hold the true ratio in 94 to 97 of 100 cases."""

SHIFT_CHANCE = 0.005
"""How often pairs that did not move may be said to have moved."""

_FEWEST_BESIDE = 3
"""Session pairs on either side of a shift."""


def typical(samples_ms: Sequence[float] | Floats) -> float:
    """The mean of the faster half of some times.

    What disturbs an inference makes it slower, never faster, so that the slower half mostly says what else the machine
    did. Where a core is so busy that most inferences are held up, this helps no more than the median does.
    """
    ordered = np.sort(np.asarray(samples_ms, np.float64), axis=None)
    return float(ordered[: (len(ordered) + 1) // 2].mean())


def log_ratios(
    baseline_ms: Sequence[Sequence[float]], candidate_ms: Sequence[Sequence[float]], sessions: Sequence[int]
) -> Floats:
    """``(session pairs,)``: the logarithm of baseline over candidate, of all that was timed in each session pair."""
    names = np.asarray(sessions)
    found = []
    for pair in np.unique(names):
        blocks = np.flatnonzero(names == pair).tolist()
        ours, theirs = (np.concatenate([rows[block] for block in blocks]) for rows in (baseline_ms, candidate_ms))
        found.append(math.log(typical(ours) / typical(theirs)))
    return np.array(found)


def ratio_interval(logs: Floats) -> tuple[float, tuple[float, float]]:
    """The geometric mean of session pairs' ratios, given as logarithms ``(pairs,)``, with its interval.

    Student's (Biometrika, 1908) with :data:`CONFIDENCE`: blocks and inferences of one session share its luck (memory
    placement), so the session pairs are the observations (Kalibera and Jones, ISMM 2013). One pair has no width.
    """
    middle = float(np.mean(logs))
    half = 0.0
    if len(logs) > 1:
        half = quantile(len(logs) - 1, CONFIDENCE) * float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    return math.exp(middle), (math.exp(middle - half), math.exp(middle + half))


def narrowing(pairs: int, later: int) -> float:
    """By what factor an interval becomes narrower, on average, when ``pairs`` session pairs become ``later``."""

    def width(count: int) -> float:
        return quantile(count - 1, CONFIDENCE) / math.sqrt(count)

    return width(later) / width(pairs)


def shift(logs: Floats) -> float:
    """By how much a ratio moved for good within a measurement (0.02: by 2 %), in absolute terms; 0 where chance alone
    may have made it seem so.

    The most likely change point of a series of session pairs' logarithms, as in Worsley (Journal of the American
    Statistical Association, 1979), with Bonferroni's bound on its significance. Benchmarks that reach no steady state
    are common (Barrett et al., OOPSLA 2017); their mean is of nothing in particular.
    """
    places = range(_FEWEST_BESIDE, len(logs) - _FEWEST_BESIDE + 1)
    best, moved = 0.0, 0.0
    for place in places:
        before, after = logs[:place], logs[place:]
        difference = float(after.mean() - before.mean())
        squares = float(((before - before.mean()) ** 2).sum() + ((after - after.mean()) ** 2).sum())
        error = math.sqrt(squares / (len(logs) - 2) * (1 / len(before) + 1 / len(after)))
        score = abs(difference) / error if error > 0 else math.inf if abs(difference) > 1e-12 else 0.0
        if score > best:
            best, moved = score, difference
    chance = min(1.0, len(places) * (1 - inside(best, len(logs) - 2))) if best else 1.0
    return math.expm1(abs(moved)) if chance < SHIFT_CHANCE else 0.0
