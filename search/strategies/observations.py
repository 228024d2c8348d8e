"""Observations of a job so far: loss and cost of each candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.fronts.objectives import Objective
from search.strategies.base import Result

Floats = NDArray[np.float64]

FAILURE = 2.0
"""Loss of a failed candidate, in multiples of the worst loss."""


@dataclass(frozen=True)
class Axes:
    """Objectives by number, divided into costs and qualities."""

    costs: tuple[int, ...]
    qualities: tuple[int, ...]
    timed: int | None
    """The cost that the predictor predicts, if any."""

    @classmethod
    def of(cls, objectives: Sequence[Objective]) -> Axes:
        """Divides the objectives by their metrics. If none is a known cost, the last of several objectives is."""
        rows = [objective.row for objective in objectives]
        costs = tuple(number for number, row in enumerate(rows) if row.cost)
        if not costs and len(rows) > 1:
            costs = (len(rows) - 1,)
        timed = next((number for number in costs if rows[number].timed), None)
        return cls(costs, tuple(number for number in range(len(rows)) if number not in costs), timed)


@dataclass(frozen=True)
class Observations:
    """All results of a job so far as figures; the first axis is the result."""

    losses: Floats
    """(results,): the sum over qualities and violated constraints, each as a share of its worst value; failures have
    :data:`FAILURE` times the largest sum."""
    costs: Floats
    """(results, costs): shares of the baseline's cost; NaN if there is none."""
    works: NDArray[np.bool_]
    """(results,): whether the candidate did not fail."""
    feasible: NDArray[np.bool_]
    """(results,): whether it also meets all constraints."""


def observe(results: Sequence[Result], axes: Axes, baseline: str) -> Observations:
    """Computes the figures of ``results``; ``baseline`` is the digest of the candidate that changes nothing."""
    works = np.array([_works(result) for result in results], bool)
    gains = [result.gains if ok else None for result, ok in zip(results, works, strict=True)]
    successes = [gain for gain in gains if gain is not None]
    own = next((g for r, g in zip(results, gains, strict=True) if r.candidate.digest == baseline and g), None)

    def loss(objective: int) -> Floats:
        if not successes:
            return np.zeros(len(results))
        best = own[objective] if own else max(gain[objective] for gain in successes)
        return np.array([0.0 if gain is None else max(0.0, best - gain[objective]) for gain in gains])

    def cost(objective: int) -> list[float]:
        usual = own[objective] if own else min((gain[objective] for gain in successes), default=0.0)
        return [math.nan if gain is None else share_of_baseline(gain[objective], usual) for gain in gains]

    constraints = max((len(result.violations) for result in results), default=0)
    violations = (
        np.array([r.violations[n] if ok else 0.0 for r, ok in zip(results, works, strict=True)], np.float64)
        for n in range(constraints)
    )
    losses = np.zeros(len(results))
    for column in (*map(loss, axes.qualities), *violations):
        if column.max(initial=0.0) > 0:
            losses = losses + column / column.max()
    worst = float(losses.max(initial=0.0)) or 1.0
    losses = np.where(works, losses, FAILURE * worst)
    costs = np.array([cost(objective) for objective in axes.costs], np.float64).reshape(len(axes.costs), len(results)).T
    return Observations(losses, costs, works, np.array([result.feasible for result in results], bool))


def _works(result: Result) -> bool:
    return result.gains is not None and all(math.isfinite(amount) for amount in result.violations)


def shares_of_range(gains: Sequence[Sequence[float]]) -> Floats:
    """Returns each gain (results, objectives) as a share of its objective's range; 0 where all are equal."""
    rows = np.array(gains, np.float64)
    span = rows.max(axis=0) - rows.min(axis=0)
    shares: Floats = (rows - rows.min(axis=0)) / np.where(span > 0, span, 1.0)
    return shares


def share_of_baseline(gain: float, baseline: float) -> float:
    """Returns the share of the baseline's cost that a gain stands for. Speed-ups are positive and divide; times and
    sizes are negated costs."""
    if baseline > 0:
        return baseline / gain if gain > 0 else math.nan
    return gain / baseline if baseline < 0 else 1.0 - gain
