"""The figures of two measurements of one candidate as one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]

_MAIN = ("ratio", "p50", "value")
_COUNT = "n"


def pooled_figures(first: Figures, second: Figures) -> dict[str, Any]:
    """Both with equal weight; what one alone has is taken from that.

    Times and ratios are averaged in logarithms. The two are independent, so that their intervals, as shares, are added
    as squares and halved.

    >>> pooled_figures({"speedup": {"ratio": 2.0}}, {"speedup": {"ratio": 8.0}, "energy_mj": 3.0})
    {'speedup': {'ratio': 4.0}, 'energy_mj': 3.0}
    """
    found = {**first, **second}
    return {
        name: _pooled(first[name], second[name]) if name in first and name in second else value
        for name, value in found.items()
    }


def _pooled(first: Any, second: Any) -> Any:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        pooled = pooled_figures(first, second)
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
        math.hypot(*(math.log(one["ci95"][end] / one[main]) for one in (first, second))) / 2 for end in (0, 1)
    )
    return [pooled[main] * math.exp(-below), pooled[main] * math.exp(above)]


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
