"""A multiple-choice knapsack: one choice for each item, the least loss that a budget allows, solved exactly."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from search.strategies.silence import silence_stdout

Floats = NDArray[np.float64]
Choice = tuple[int, ...]

# The solver's tolerances are absolute, about 1e-6: losses are scaled to be far above them.
_LOSS_SCALE, _TIE_SCALE = 1e3, 1e-2
_ROUNDING = 1e-9

MOST_NODES = 20_000
"""Nodes of the solver's tree. A limit of time would make the answer depend on the machine's load."""


def least_loss(
    losses: Sequence[Floats], costs: Sequence[Floats], budget: float, known: Collection[Choice] = ()
) -> Choice | None:
    """A choice for each item, as its places, so that the sum of ``losses`` is least where that of ``costs`` is at most
    ``budget``; of equal losses the one that costs least. None of ``known`` is given; None where nothing else is left.

    One array an item in both, of one figure a choice; an infinite loss rules a choice out. A 0-1 programme with one
    constraint an item, one for the budget and one for each known answer, solved by branch and bound (HiGHS; Huangfu and
    Hall, Mathematical Programming Computation, 2018). Cut off after :data:`MOST_NODES` nodes it gives the best found.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    allowed = [np.isfinite(one) for one in losses]
    if not all(one.any() for one in allowed):
        return None
    least = sum(float(cost[ok].min()) for cost, ok in zip(costs, allowed, strict=True))
    spare = budget - least
    if spare < -_ROUNDING:
        return None
    if not losses:
        return None if () in known else ()
    over = np.concatenate([np.where(ok, cost - cost[ok].min(), 0.0) for cost, ok in zip(costs, allowed, strict=True)])
    loss = np.concatenate([np.where(ok, one, 0.0) for one, ok in zip(losses, allowed, strict=True)])
    free = np.concatenate(allowed)
    most_over = _most(over, losses, free)
    objective = loss * _unit(_LOSS_SCALE, _most(np.abs(loss), losses, free))
    objective = objective + over * _unit(_TIE_SCALE, most_over)

    starts = np.concatenate([[0], np.cumsum([len(one) for one in losses])])
    items = np.repeat(np.arange(len(losses)), np.diff(starts))
    constraints = [LinearConstraint((items == np.arange(len(losses))[:, None]).astype(np.float64), 1.0, 1.0)]
    if spare < most_over:
        constraints.append(LinearConstraint(over[None, :] / most_over, -np.inf, max(0.0, spare) / most_over))
    cuts = np.zeros((len(known), len(over)))
    for number, answer in enumerate(sorted(known)):
        cuts[number, starts[:-1] + np.asarray(answer, np.int64)] = 1.0
    if len(cuts):
        constraints.append(LinearConstraint(cuts, -np.inf, len(losses) - 1.0))
    with silence_stdout():  # HiGHS 1.12 prints a line of its debugging now and then, whatever it is told
        found = milp(
            objective, integrality=np.ones(len(over)), bounds=Bounds(0.0, free.astype(np.float64)),
            constraints=constraints, options={"mip_rel_gap": 0.0, "node_limit": MOST_NODES},
        )  # fmt: skip
    if found.x is None:
        return None
    return tuple(int(np.argmax(part)) for part in np.split(np.asarray(found.x), starts[1:-1]))


def _most(figures: Floats, items: Sequence[Floats], free: NDArray[np.bool_]) -> float:
    """The largest sum that a choice can have."""
    parts = np.split(np.where(free, figures, 0.0), np.cumsum([len(one) for one in items])[:-1])
    return sum(float(part.max()) for part in parts)


def _unit(scale: float, most: float) -> float:
    return scale / most if most > 0 else 0.0
