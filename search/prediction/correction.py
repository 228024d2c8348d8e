"""A correction of summed layer times, learnt from measured candidates, and the accuracy of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.prediction.predictor import LayerSum

Json = dict[str, Any]
Floats = NDArray[np.float64]

RIDGE = 1e-3
"""Strength of the regularisation for each candidate that the correction is learnt from."""

_LEAST = 1e-3  # of the baseline's time: no candidate is faster


@dataclass(frozen=True)
class Correction:
    """Coefficients that correct a summed time; the baseline's is not changed.

    Ridge regression (Hoerl and Kennard, 1970) of the difference between measured and summed times.
    """

    gained: float = 0.0
    """Multiple of the time saved over the baseline."""
    entering: float = 0.0
    """Price of quantising all values between layers."""
    leaving: float = 0.0
    """Price of dequantising them."""

    def time(self, layer_sum: LayerSum) -> float:
        """Returns the corrected time as a share of the baseline's."""
        gained, entering = self.gained * (1 - layer_sum.time), self.entering * layer_sum.entering
        return max(_LEAST, layer_sum.time + (gained + entering + self.leaving * layer_sum.leaving))

    @classmethod
    def fit(cls, sums: Sequence[LayerSum], times: Sequence[float]) -> Correction:
        """Fits to the sums of candidates and their measured times, as shares of the baseline's."""
        features = _features(sums)
        missing = np.asarray(times) - np.array([row.time for row in sums])
        weights = features.T @ features + RIDGE * max(1, len(sums)) * np.eye(features.shape[1])
        return cls(*map(float, np.linalg.solve(weights, features.T @ missing)))


def _features(sums: Sequence[LayerSum]) -> Floats:
    return np.array([[1 - row.time, row.entering, row.leaving] for row in sums], np.float64).reshape(-1, 3)


def accuracy(predicted: Sequence[float], measured: Sequence[float]) -> Json:
    """Returns the accuracy of predictions: ``n``, Kendall's ``tau`` (1938; None if undefined), and the
    ``relative_error``
    (median and 90th percentile)."""
    from scipy.stats import kendalltau

    if not predicted:
        return {"n": 0, "tau": None, "relative_error": None}
    tau = float(kendalltau(predicted, measured).statistic) if len(predicted) > 1 else float("nan")
    errors = np.abs(np.asarray(predicted) / np.asarray(measured) - 1)
    return {
        "n": len(predicted),
        "tau": None if np.isnan(tau) else tau,
        "relative_error": {"median": float(np.median(errors)), "p90": float(np.percentile(errors, 90))},
    }


def leave_one_out(sums: Sequence[LayerSum], times: Sequence[float]) -> list[float]:
    """Predicts each candidate's time with a correction learnt from all others.

    In one step: the error without a row is its error with it, divided by one less its leverage.
    """
    features = _features(sums)
    summed = np.array([row.time for row in sums])
    missing = np.asarray(times) - summed
    weights = features.T @ features + RIDGE * max(1, len(sums) - 1) * np.eye(features.shape[1])
    hat = features @ np.linalg.solve(weights, features.T)
    errors = (missing - hat @ missing) / (1 - np.diag(hat))
    return [float(value) for value in np.maximum(_LEAST, np.asarray(times) - errors)]
