"""What told results say: how much each candidate loses, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.fronts.metrics import COSTS
from search.strategies.base import Result

Floats = NDArray[np.float64]

TIMES = ("speedup", "latency_ms")
"""Those that a latency predictor predicts."""

FAILURE = 2.0
"""A failure counts as so many times the worst loss."""


@dataclass(frozen=True)
class Axes:
    """Which objectives are costs, by their place; ``timed`` is the one that the predictor predicts, if any."""

    costs: tuple[int, ...]
    qualities: tuple[int, ...]
    timed: int | None

    @classmethod
    def of(cls, objectives: int, metrics: Sequence[str]) -> Axes:
        """From the objectives' metrics. Where no name is known as a cost, the last of several objectives is one."""
        bases = [metric.partition("@")[0].partition(".")[0] for metric in metrics]
        costs = tuple(number for number, base in enumerate(bases) if base in COSTS)
        if not costs and objectives > 1:
            costs = (objectives - 1,)
        timed = next((n for n in costs if not bases or bases[n] in TIMES), None)
        return cls(costs, tuple(number for number in range(objectives) if number not in costs), timed)


@dataclass(frozen=True)
class Observations:
    """All results of a job so far, as figures.

    ``losses`` of shape (told,): of every quality, and of every constraint that is broken, its share of the worst that
    was told, added up; failures have :data:`FAILURE` times the largest sum. ``costs`` of shape (told, costs): shares of
    the baseline's, NaN where there is none. ``works`` and ``feasible`` of shape (told,).
    """

    losses: Floats
    costs: Floats
    works: NDArray[np.bool_]
    feasible: NDArray[np.bool_]


def told(results: Sequence[Result], axes: Axes, baseline: str) -> Observations:
    """The figures of ``results``; ``baseline`` is the digest of the candidate that changes nothing."""
    works = np.array([_works(result) for result in results], bool)
    gains = [result.gains if ok else None for result, ok in zip(results, works, strict=True)]
    given = [found for found in gains if found is not None]
    own = next((g for r, g in zip(results, gains, strict=True) if r.candidate.digest == baseline and g), None)

    def lost(objective: int) -> Floats:
        if not given:
            return np.zeros(len(results))
        best = own[objective] if own else max(found[objective] for found in given)
        return np.array([0.0 if found is None else max(0.0, best - found[objective]) for found in gains])

    def cost(objective: int) -> list[float]:
        usual = own[objective] if own else min((found[objective] for found in given), default=0.0)
        return [math.nan if found is None else _share(found[objective], usual) for found in gains]

    constraints = max((len(result.violations) for result in results), default=0)
    broken = (
        np.array([r.violations[n] if ok else 0.0 for r, ok in zip(results, works, strict=True)], np.float64)
        for n in range(constraints)
    )
    losses = np.zeros(len(results))
    for column in (*map(lost, axes.qualities), *broken):
        if column.max(initial=0.0) > 0:
            losses = losses + column / column.max()
    worst = float(losses.max(initial=0.0)) or 1.0
    losses = np.where(works, losses, FAILURE * worst)
    costs = np.array([cost(objective) for objective in axes.costs], np.float64).reshape(len(axes.costs), len(results)).T
    return Observations(losses, costs, works, np.array([result.feasible for result in results], bool))


def _works(result: Result) -> bool:
    return result.gains is not None and all(math.isfinite(amount) for amount in result.violations)


def _share(gain: float, baseline: float) -> float:
    """A gain as a share of the baseline's cost: speed-ups are positive and divide, times and sizes are negative."""
    if baseline > 0:
        return baseline / gain if gain > 0 else math.nan
    return gain / baseline if baseline < 0 else 1.0 - gain
