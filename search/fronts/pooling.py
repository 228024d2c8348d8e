"""Pools the figures of two measurements of one candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]

_MAIN = ("ratio", "p50", "value")
_COUNT = "n"


def pool_figures(first: Figures, second: Figures) -> dict[str, Any]:
    """Averages two measurements with equal weight; figures that only one has are taken over.

    Times and ratios are averaged in logarithms. The measurements are independent, so the relative half-widths of their
    intervals are added as squares, and halved.

    >>> pool_figures({"speedup": {"ratio": 2.0}}, {"speedup": {"ratio": 8.0}, "energy_mj": 3.0})
    {'speedup': {'ratio': 4.0}, 'energy_mj': 3.0}
    """
    return {
        name: _pool(first[name], second[name]) if name in first and name in second else value
        for name, value in {**first, **second}.items()
    }


def _pool(first: Any, second: Any) -> Any:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        pooled = pool_figures(first, second)
        if _COUNT in first and _COUNT in second:
            pooled[_COUNT] = first[_COUNT] + second[_COUNT]
        if "ci95" in first and "ci95" in second:
            pooled["ci95"] = _interval(first, second, pooled)
        return pooled
    if _is_positive(first) and _is_positive(second):
        return math.sqrt(first * second)
    return second


def _interval(first: Figures, second: Figures, pooled: Figures) -> Any:
    main = next((name for name in _MAIN if name in first and name in second), None)
    figures = [] if main is None else [*first["ci95"], *second["ci95"], first[main], second[main]]
    if main is None or not all(map(_is_positive, figures)):
        return second["ci95"]
    below, above = (
        math.hypot(*(math.log(row["ci95"][end] / row[main]) for row in (first, second))) / 2 for end in (0, 1)
    )
    return [pooled[main] * math.exp(-below), pooled[main] * math.exp(above)]


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
