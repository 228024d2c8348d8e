"""Additive models of a candidate's loss and cost: the contribution of each value.

Losses are modelled directly, not as logarithms: small independent errors add in energy, and losses of cosine or
accuracy are proportional to it. Losses are clipped at 0: a quality that rises under compression is luck on one split,
which a solver would otherwise collect from every layer. Times and sizes are additive by nature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOYALTY = 0.1
"""Strength of the regularisation towards the figures of single changes."""

_FLOOR = 1e-3  # share of the largest loss below which losses are treated as equal


def from_singles(rows: Floats, figures: Floats, values: Sequence[str]) -> Floats | None:
    """Estimates the contribution of each column from the rows with a single column. For other columns: the mean of the
    same value in other decisions, or else of all values. None if no row has a single column.

    ``rows`` are zeros and ones (results, columns), ``figures`` (results,), ``values`` one per column.
    """
    alone = np.flatnonzero(rows.sum(1) == 1) if len(rows) else np.zeros(0, np.int64)
    if not len(alone):
        return None
    by_column = {int(np.argmax(rows[number])): float(figures[number]) for number in alone}
    by_value: dict[str, list[float]] = {}
    for column, figure in by_column.items():
        by_value.setdefault(values[column], []).append(figure)
    overall = float(np.mean(list(by_column.values())))
    return np.array(
        [
            by_column[column] if column in by_column else float(np.mean(by_value.get(value, [overall])))
            for column, value in enumerate(values)
        ]
    )


def fit_losses(rows: Floats, losses: Floats, prior: Floats, weights: Floats) -> Floats:
    """Fits the contribution of each column to a loss: the ``prior`` times a factor of 0 or more, so that the sums match
    the observed ``losses`` in relative terms. The factors learn where layers amplify or hide each other's errors.

    Non-negative least squares (Lawson and Hanson, Solving Least Squares Problems, 1974), regularised towards factors of
    1 by :data:`LOYALTY`; ``weights`` (results,) are the weights of the candidates.
    """
    from scipy.optimize import nnls

    floor = _FLOOR * float(max(losses.max(initial=0.0), prior.max(initial=0.0)))
    if floor <= 0 or not len(rows):
        return np.maximum(prior, 0.0)
    base = np.maximum(prior, floor)
    trust = np.sqrt(weights) / (losses + floor)
    loyal = np.sqrt(LOYALTY)
    left = np.vstack([rows * base * trust[:, None], loyal * np.eye(len(base))])
    right = np.concatenate([losses * trust, np.full(len(base), loyal)])
    try:
        factors, _ = nnls(left, right, maxiter=30 * len(base))
    except RuntimeError:  # it did not converge
        return np.maximum(prior, 0.0)
    return np.asarray(factors, np.float64) * base


def fit_costs(rows: Floats, costs: Floats, prior: Floats, weights: Floats, loyalty: float = LOYALTY) -> Floats:
    """Fits the contribution of each column to a cost: shifts the ``prior`` so that the sums match the observed
    ``costs``.

    Ridge regression (Hoerl and Kennard, Technometrics, 1970) of the residuals, with strength ``loyalty``.
    """
    if not len(rows):
        return prior
    weighted = rows * weights[:, None]
    shift = np.linalg.solve(rows.T @ weighted + loyalty * np.eye(rows.shape[1]), weighted.T @ (costs - rows @ prior))
    return prior + np.asarray(shift, np.float64)
