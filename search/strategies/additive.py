"""Additive models: what each value adds to a candidate's loss, and to its cost.

Losses are modelled as they are and not as logarithms: small independent errors add up in their energy, of which a loss
of cosine or accuracy is a multiple. They are clipped at 0, since a quality that rises under compression is luck on one
split, which a solver would otherwise collect from every layer. Times and sizes add up by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOYALTY = 0.1
"""How strongly figures are held to what was seen of one change at a time."""

_FLOOR = 1e-3  # of the largest loss: smaller ones are equal


def from_singles(rows: Floats, figures: Floats, values: Sequence[str]) -> Floats | None:
    """What each column alone adds, from the rows that have one; where there is none what the same value adds in other
    decisions on average, or any value. None where no row has one column.

    ``rows`` of shape (told, columns) of zeros and ones, ``figures`` of shape (told,), ``values`` one a column.
    """
    alone = np.flatnonzero(rows.sum(1) == 1) if len(rows) else np.zeros(0, np.int64)
    if not len(alone):
        return None
    known = {int(np.argmax(rows[number])): float(figures[number]) for number in alone}
    like: dict[str, list[float]] = {}
    for column, figure in known.items():
        like.setdefault(values[column], []).append(figure)
    anywhere = float(np.mean(list(known.values())))
    return np.array(
        [
            known[column] if column in known else float(np.mean(like.get(value, [anywhere])))
            for column, value in enumerate(values)
        ]
    )


def fit_losses(rows: Floats, losses: Floats, prior: Floats, weights: Floats) -> Floats:
    """What each column adds to a loss: the ``prior`` figure, multiplied by a factor of 0 or more that brings the sums
    nearest to the told ``losses`` in relative terms. Where layers make each other's errors worse, or hide them, the
    factors learn it.

    Non-negative least squares (Lawson and Hanson, Solving Least Squares Problems, 1974), drawn to factors of 1 by
    :data:`LOYALTY`; ``weights`` of shape (told,) say how much each candidate counts.
    """
    from scipy.optimize import nnls

    floor = _FLOOR * float(max(losses.max(initial=0.0), prior.max(initial=0.0)))
    if floor <= 0 or not len(rows):
        return np.maximum(prior, 0.0)
    held = np.maximum(prior, floor)
    trust = np.sqrt(weights) / (losses + floor)
    loyal = np.sqrt(LOYALTY)
    left = np.vstack([rows * held * trust[:, None], loyal * np.eye(len(held))])
    right = np.concatenate([losses * trust, np.full(len(held), loyal)])
    try:
        factors, _ = nnls(left, right, maxiter=30 * len(held))
    except RuntimeError:  # it did not converge
        return np.maximum(prior, 0.0)
    return np.asarray(factors, np.float64) * held


def fit_costs(rows: Floats, costs: Floats, prior: Floats, weights: Floats, loyalty: float = LOYALTY) -> Floats:
    """What each column adds to a cost: the ``prior`` figures, moved so that the sums come nearer to the told ``costs``.

    Ridge regression (Hoerl and Kennard, Technometrics, 1970) of what the prior misses.
    """
    if not len(rows):
        return prior
    heavy = rows * weights[:, None]
    moved = np.linalg.solve(rows.T @ heavy + loyalty * np.eye(rows.shape[1]), heavy.T @ (costs - rows @ prior))
    return prior + np.asarray(moved, np.float64)
