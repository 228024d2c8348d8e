"""A learning curve as a table of a few rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboards.words import Json

ROWS = 6
"""Most rows of a policy."""

_COLUMNS = ("stage", "policy", "weight", "updates", "rollouts", "mean", "best")


def curve_rows(rewards: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Returns the mean and the best reward of each stage, policy and weight: a row for every update of the policy, or
    for several where there are many.

    >>> reward = {"stage": None, "policy": "removal", "weight": 1.0, "update": 1, "value": 0.5}
    >>> curve_rows([reward, {**reward, "value": 0.25}])[0]["mean"]
    '0.375'
    """
    curves: dict[tuple[int | None, str, float], dict[int, list[float]]] = {}
    for reward in rewards:
        curve = curves.setdefault((reward["stage"], reward["policy"], reward["weight"]), {})
        curve.setdefault(reward["update"], []).append(reward["value"])
    return [
        {"stage": stage, "policy": policy, "weight": f"{weight:g}", **row}
        for (stage, policy, weight), curve in curves.items()
        for row in _rows(curve)
    ]


def curve_columns(rows: Sequence[Json]) -> dict[str, str]:
    """Returns the headings of :func:`curve_rows` by key, without those of columns in which all rows are the same."""
    same = [key for key in ("stage", "weight") if len({row[key] for row in rows}) < 2]
    titles = {"mean": "mean reward", "best": "best reward"}
    return {key: titles.get(key, key) for key in _COLUMNS if key not in same}


def _rows(curve: Mapping[int, Sequence[float]]) -> list[Json]:
    updates, rows = list(curve), []
    width = -(-len(updates) // ROWS)
    for start in range(0, len(updates), width):
        span = updates[start : start + width]
        values = [value for update in span for value in curve[update]]
        rows.append(
            {
                "updates": str(span[0]) if len(span) == 1 else f"{span[0]}–{span[-1]}",
                "rollouts": len(values),
                "mean": f"{sum(values) / len(values):.3f}",
                "best": f"{max(values):.3f}",
            }
        )
    return rows
