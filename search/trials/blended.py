"""Confidence intervals for metrics that a task gives only as a finished figure, by randomisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from evaluators.tensors import Array, Arrays

Answers = list[dict[str, Array]]
"""A model's outputs, in the order in which an ``evaluate`` asked for them."""

Predict = Callable[[Arrays], dict[str, Array]]
Evaluate = Callable[[Predict], Mapping[str, float]]

DRAWS = 32
"""Number of randomisations: the interval's width is exact to an eighth."""


def estimate_intervals(
    evaluate: Evaluate, ours: Answers, theirs: Answers, metrics: Mapping[str, tuple[float, float]], *, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Estimates 95 % intervals of the difference between two models, by metric.

    ``metrics`` hold the first model's figure and the second's. Empty if ``evaluate`` does not make equal requests each
    time.

    Approximate randomisation (Noreen, Computer-Intensive Methods for Testing Hypotheses, 1989): the metric is computed
    again from outputs of one model for a random half of the samples and of the other for the rest. For a mean over
    samples, twice the standard deviation of these figures is the standard error of the difference; labels are not
    needed.
    """
    if not _alike(ours, theirs) or not ours:
        return {}
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(DRAWS):
        try:
            figures = evaluate(_Blend(rng, ours, theirs))
            draws.append([float(figures[name]) for name in metrics])
        except Exception:  # noqa: BLE001 - the user's own code, which may reject such outputs
            return {}
    count = sum(_rows(answer) or 0 for answer in ours)
    intervals = {}
    for (name, (value, baseline)), column in zip(metrics.items(), np.array(draws).T, strict=True):
        # As with one more sample lost and one won: no loss among few samples does not prove that there is none.
        least = math.sqrt(2) * max(abs(value), abs(baseline)) / (count + 2)
        error = max(2 * float(column.std(ddof=1)), least)
        intervals[name] = value - baseline - 1.96 * error, value - baseline + 1.96 * error
    return {name: interval for name, interval in intervals.items() if np.isfinite(interval).all()}


class _Blend:
    """A model whose outputs are, for each sample at random, those of one of two models."""

    def __init__(self, rng: np.random.Generator, ours: Answers, theirs: Answers) -> None:
        self._rng, self._answers = rng, iter(zip(ours, theirs, strict=True))

    def __call__(self, samples: Arrays) -> dict[str, Array]:
        ours, theirs = next(self._answers)
        chosen = self._rng.random(_rows(ours) or 0) < 0.5
        return {name: np.where(_along(chosen, values), values, theirs[name]) for name, values in ours.items()}


def _along(chosen: Array, values: Array) -> Array:
    return chosen.reshape(-1, *[1] * (values.ndim - 1))


def _rows(answer: Mapping[str, Array]) -> int | None:
    """Returns the number of samples in an answer; None if its outputs differ in that."""
    counts = {values.shape[0] if values.ndim else -1 for values in answer.values()}
    return counts.pop() if len(counts) == 1 and min(counts) >= 0 else None


def _alike(ours: Sequence[dict[str, Array]], theirs: Sequence[dict[str, Array]]) -> bool:
    return len(ours) == len(theirs) and all(
        _rows(a) is not None and {n: v.shape for n, v in a.items()} == {n: v.shape for n, v in b.items()}
        for a, b in zip(ours, theirs, strict=True)
    )
