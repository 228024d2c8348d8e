"""Intervals of metrics that a task gives only as a finished figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search.trials.blended import estimate_intervals

COUNT = 400


def models(seed: int, lost: float) -> tuple[Any, Any, Any]:
    """Labels, and two models' answers, of which the first gets a share fewer right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, COUNT)
    theirs = np.where(rng.random(COUNT) < 0.9, labels, 1 - labels)
    ours = np.where(rng.random(COUNT) < lost, 1 - theirs, theirs)
    return labels, ours, theirs


def of(labels: Any, ours: Any, theirs: Any, size: int = COUNT) -> tuple[float, tuple[float, float]]:
    def evaluate(predict: Any) -> dict[str, float]:
        rows = [predict({"x": labels[i : i + size]})["y"] for i in range(0, COUNT, size)]
        return {"f1": float((np.concatenate(rows) == labels).mean())}

    pair = tuple(float((answers == labels).mean()) for answers in (ours, theirs))
    split = [[{"y": answers[i : i + size]} for i in range(0, COUNT, size)] for answers in (ours, theirs)]
    return pair[0] - pair[1], estimate_intervals(evaluate, *split, {"f1": pair})["f1"]  # type: ignore[dict-item]


@pytest.mark.parametrize("size", [COUNT, 32])
def test_they_hold_the_true_difference(size: int) -> None:
    hits = []
    for seed in range(200):
        _, (low, high) = of(*models(seed, 0.05), size)
        hits.append(low <= -0.04 <= high)  # of 5 % that change, nine in ten were right
    assert sum(hits) >= 0.9 * len(hits)


def test_they_are_as_wide_as_the_paired_interval() -> None:
    labels, ours, theirs = models(0, 0.1)
    changed = (ours == labels).astype(float) - (theirs == labels)
    widths = [np.ptp(of(labels, ours, theirs)[1])]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * changed.std() / COUNT**0.5, rel=0.35)


def test_equal_models_have_an_interval_nevertheless() -> None:
    labels, _, theirs = models(0, 0.0)
    difference, (low, high) = of(labels, theirs, theirs)
    assert difference == 0
    assert -0.01 < low < 0 < high < 0.01


def test_none_where_the_task_asks_for_something_else_each_time() -> None:
    answer = {"y": np.zeros(4)}
    asked = iter(range(1000))

    def evaluate(predict: Any) -> dict[str, float]:
        for _ in range(1 + next(asked)):
            predict({})
        return {"f1": 1.0}

    assert estimate_intervals(evaluate, [answer], [answer], {"f1": (1.0, 1.0)}) == {}
    assert estimate_intervals(evaluate, [], [], {"f1": (1.0, 1.0)}) == {}
    assert estimate_intervals(evaluate, [answer], [{"y": np.zeros(5)}], {"f1": (1.0, 1.0)}) == {}
