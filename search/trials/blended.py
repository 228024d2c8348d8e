"""How well a difference of two models is known in a metric that a task gives only as a finished figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from evaluators.tensors import Array, Arrays

Answers = list[dict[str, Array]]
"""What a model answered, in the order in which an ``evaluate`` asked it."""

Predict = Callable[[Arrays], dict[str, Array]]
Evaluate = Callable[[Predict], Mapping[str, float]]

DRAWS = 32
"""The interval's width is then good to an eighth."""


def blended_intervals(
    evaluate: Evaluate, ours: Answers, theirs: Answers, metrics: Mapping[str, tuple[float, float]], *, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the difference between two models in each of the ``metrics`` (the first's figure and the
    second's); none where ``evaluate`` does not ask for the same each time.

    Approximate randomisation (Noreen, Computer-Intensive Methods for Testing Hypotheses, 1989): the metric is asked
    again of answers that are one model's for a random half of the samples and the other's for the rest. Of a mean over
    samples, twice the deviation of these figures is the standard error of the difference; no label needs be known.
    """
    if not _alike(ours, theirs) or not ours:
        return {}
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        try:
            found = evaluate(_Blend(rng, ours, theirs))
            drawn.append([float(found[name]) for name in metrics])
        except Exception:  # noqa: BLE001 - the user's own code, which may not like such answers
            return {}
    count = sum(_rows(answer) or 0 for answer in ours)
    intervals = {}
    for (name, (value, other)), figures in zip(metrics.items(), np.array(drawn).T, strict=True):
        # As if one sample more had been lost and one won, so that no loss among few samples is not taken for none.
        least = math.sqrt(2) * max(abs(value), abs(other)) / (count + 2)
        error = max(2 * float(figures.std(ddof=1)), least)
        intervals[name] = value - other - 1.96 * error, value - other + 1.96 * error
    return {name: interval for name, interval in intervals.items() if np.isfinite(interval).all()}


class _Blend:
    """A model that answers as one of two does, each sample at random; the first question as both did the first."""

    def __init__(self, rng: np.random.Generator, ours: Answers, theirs: Answers) -> None:
        self._rng, self._left = rng, iter(zip(ours, theirs, strict=True))

    def __call__(self, samples: Arrays) -> dict[str, Array]:
        ours, theirs = next(self._left)
        chosen = self._rng.random(_rows(ours) or 0) < 0.5
        return {name: np.where(_along(chosen, values), values, theirs[name]) for name, values in ours.items()}


def _along(chosen: Array, values: Array) -> Array:
    return chosen.reshape(-1, *[1] * (values.ndim - 1))


def _rows(answer: Mapping[str, Array]) -> int | None:
    """Samples in an answer; None where its outputs differ in it."""
    counts = {values.shape[0] if values.ndim else -1 for values in answer.values()}
    return counts.pop() if len(counts) == 1 and min(counts) >= 0 else None


def _alike(ours: Sequence[dict[str, Array]], theirs: Sequence[dict[str, Array]]) -> bool:
    return len(ours) == len(theirs) and all(
        _rows(a) is not None and {n: v.shape for n, v in a.items()} == {n: v.shape for n, v in b.items()}
        for a, b in zip(ours, theirs, strict=True)
    )
