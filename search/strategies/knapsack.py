"""Multiple-choice knapsack: one choice per item with the least loss within a budget, solved exactly."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from search.strategies.silence import silence_stdout

Floats = NDArray[np.float64]
Choice = tuple[int, ...]

# The solver's tolerances are absolute, about 1e-6; scaling brings losses far above them.
_LOSS_SCALE, _TIE_SCALE = 1e3, 1e-2
_ROUNDING = 1e-9

MOST_NODES = 20_000
"""Largest number of nodes in the solver's tree. A time limit would make results depend on the machine's load."""


def least_loss(
    losses: Sequence[Floats], costs: Sequence[Floats], budget: float, excluded: Collection[Choice] = ()
) -> Choice | None:
    """Finds the choice for each item (as its place) with the least sum of ``losses`` and a sum of ``costs`` of at most
    ``budget``; of equal losses the cheapest. Never returns one of ``excluded``; None if no other fits.

    ``losses`` and ``costs`` hold one array per item with one figure per choice; an infinite loss rules a choice out.
    A 0-1 program with one constraint per item, one for the budget and one for each excluded solution, solved by branch
    and bound (HiGHS; Huangfu and Hall, Mathematical Programming Computation, 2018). Stops after :data:`MOST_NODES`
    nodes with the best solution so far.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    allowed = [np.isfinite(item) for item in losses]
    if not all(choices.any() for choices in allowed):
        return None
    least = sum(float(cost[ok].min()) for cost, ok in zip(costs, allowed, strict=True))
    spare = budget - least
    if spare < -_ROUNDING:
        return None
    if not losses:
        return None if () in excluded else ()
    over = np.concatenate([np.where(ok, cost - cost[ok].min(), 0.0) for cost, ok in zip(costs, allowed, strict=True)])
    loss = np.concatenate([np.where(ok, item, 0.0) for item, ok in zip(losses, allowed, strict=True)])
    free = np.concatenate(allowed)
    most_over = _most(over, losses, free)
    objective = loss * _unit(_LOSS_SCALE, _most(np.abs(loss), losses, free))
    objective = objective + over * _unit(_TIE_SCALE, most_over)

    starts = np.concatenate([[0], np.cumsum([len(item) for item in losses])])
    items = np.repeat(np.arange(len(losses)), np.diff(starts))
    constraints = [LinearConstraint((items == np.arange(len(losses))[:, None]).astype(np.float64), 1.0, 1.0)]
    if spare < most_over:
        constraints.append(LinearConstraint(over[None, :] / most_over, -np.inf, max(0.0, spare) / most_over))
    cuts = np.zeros((len(excluded), len(over)))
    for number, solution in enumerate(sorted(excluded)):
        cuts[number, starts[:-1] + np.asarray(solution, np.int64)] = 1.0
    if len(cuts):
        constraints.append(LinearConstraint(cuts, -np.inf, len(losses) - 1.0))
    with silence_stdout():  # HiGHS 1.12 sometimes prints a debug line regardless of its options
        result = milp(
            objective, integrality=np.ones(len(over)), bounds=Bounds(0.0, free.astype(np.float64)),
            constraints=constraints, options={"mip_rel_gap": 0.0, "node_limit": MOST_NODES},
        )  # fmt: skip
    if result.x is None:
        return None
    return tuple(int(np.argmax(part)) for part in np.split(np.asarray(result.x), starts[1:-1]))


def _most(figures: Floats, items: Sequence[Floats], free: NDArray[np.bool_]) -> float:
    """Computes the largest sum of figures over one choice per item."""
    parts = np.split(np.where(free, figures, 0.0), np.cumsum([len(item) for item in items])[:-1])
    return sum(float(part.max()) for part in parts)


def _unit(scale: float, most: float) -> float:
    return scale / most if most > 0 else 0.0
