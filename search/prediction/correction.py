"""What sums of layer times miss, learnt from measured candidates, and how well predictions hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.prediction.predictor import Sum

Json = dict[str, Any]
Floats = NDArray[np.float64]

RIDGE = 1e-3
"""How strongly the correction is drawn towards none, for each candidate that it is learnt from."""

_LEAST = 1e-3  # of the baseline's time: no candidate is faster


@dataclass(frozen=True)
class Correction:
    """What a sum misses: a multiple of what is gained over the baseline, and a price for each quantised and each
    dequantised value between layers. The baseline itself is left as it is.

    Ridge regression (Hoerl and Kennard, 1970) of the difference between measured and summed times.
    """

    gained: float = 0.0
    entering: float = 0.0
    leaving: float = 0.0

    def time(self, found: Sum) -> float:
        """The corrected time as a share of the baseline's."""
        correction = self.gained * (1 - found.time) + self.entering * found.entering + self.leaving * found.leaving
        return max(_LEAST, found.time + correction)

    @classmethod
    def fitted(cls, sums: Sequence[Sum], times: Sequence[float]) -> Correction:
        """Learnt from the sums of some candidates and their measured times as shares of the baseline's."""
        features = _features(sums)
        missing = np.asarray(times) - np.array([found.time for found in sums])
        weights = features.T @ features + RIDGE * max(1, len(sums)) * np.eye(features.shape[1])
        return cls(*map(float, np.linalg.solve(weights, features.T @ missing)))


def _features(sums: Sequence[Sum]) -> Floats:
    return np.array([[1 - found.time, found.entering, found.leaving] for found in sums], np.float64).reshape(-1, 3)


def accuracy(predicted: Sequence[float], measured: Sequence[float]) -> Json:
    """How well predictions hold: ``n``, Kendall's ``tau`` (1938; None where it is not defined), and the
    ``relative_error`` as its median and 90th percentile."""
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


def left_out(sums: Sequence[Sum], times: Sequence[float]) -> list[float]:
    """Each candidate's time as predicted with a correction learnt from all the others, found in one step: the error
    without a row is its error with it, divided by one less its leverage."""
    features = _features(sums)
    summed = np.array([found.time for found in sums])
    missing = np.asarray(times) - summed
    weights = features.T @ features + RIDGE * max(1, len(sums) - 1) * np.eye(features.shape[1])
    hat = features @ np.linalg.solve(weights, features.T)
    errors = (missing - hat @ missing) / (1 - np.diag(hat))
    return [float(value) for value in np.maximum(_LEAST, np.asarray(times) - errors)]
