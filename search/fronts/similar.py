"""Members of a front that no user would tell apart: equal in all objectives within noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.fronts.objectives import Objective
from search.fronts.pareto import Entry

RESOLUTION = 0.001
"""Share of a figure below which a difference does not matter, for metrics without an interval."""


def group_similar(
    members: Sequence[Entry], objectives: Sequence[Objective], first: str | None = None
) -> dict[str, str]:
    """Maps each member to the member that stands for it, itself if none does.

    Members are similar if in every objective their 95 % intervals overlap; without intervals, if they differ by less
    than :data:`RESOLUTION`. In the front's order, but the candidate ``first`` stands for its like wherever it is.

    >>> speedup = [Objective("speedup", "max")]
    >>> def entry(name: str, low: float, high: float) -> Entry:
    ...     return Entry(name, 0, {"speedup": {"ratio": (low + high) / 2, "ci95": [low, high]}})
    >>> group_similar([entry("a", 2.0, 2.1), entry("b", 2.05, 2.2), entry("c", 3.0, 3.1)], speedup)
    {'a': 'a', 'b': 'a', 'c': 'c'}
    """
    representatives: list[Entry] = []
    groups = {}
    for member in sorted(members, key=lambda entry: entry.candidate_id != first):
        like = next((other for other in representatives if _are_similar(member, other, objectives)), None)
        if like is None:
            representatives.append(member)
        groups[member.candidate_id] = (like or member).candidate_id
    return {member.candidate_id: groups[member.candidate_id] for member in members}


def _are_similar(first: Entry, second: Entry, objectives: Sequence[Objective]) -> bool:
    return all(_are_equal(first.metrics, second.metrics, objective) for objective in objectives)


def _are_equal(first: Mapping[str, Any], second: Mapping[str, Any], objective: Objective) -> bool:
    bounds = objective.gain_interval(first), objective.gain_interval(second)
    if bounds[0] is not None and bounds[1] is not None:
        return bounds[0][0] <= bounds[1][1] and bounds[1][0] <= bounds[0][1]
    values = objective.value(first), objective.value(second)
    if values[0] is None or values[1] is None:
        return values[0] is values[1]
    return abs(values[0] - values[1]) <= RESOLUTION * max(abs(values[0]), abs(values[1]))
