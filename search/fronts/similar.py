"""Members of a front that no user would tell apart: equal in all objectives within noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.fronts.objectives import Objective
from search.fronts.pareto import Entry

RESOLUTION, FIDELITY_RESOLUTION = 0.001, 0.0001
"""Differences that do not matter, for metrics without an interval: as a share of the figure, and of comparisons with
the fp32 model's outputs, whose 1 is perfect, as they are."""


def group_similar(
    members: Sequence[Entry], objectives: Sequence[Objective], first: str | None = None
) -> dict[str, str]:
    """Maps each member to the member that stands for it, itself if none does.

    Two members are similar if in every objective each figure lies in the other's 95 % interval; without intervals, if
    they differ by no more than :data:`RESOLUTION`. All members of a group are similar to each other. In the front's
    order, but the candidate ``first`` stands for its like wherever it is.

    >>> speedup = [Objective("speedup", "max")]
    >>> def entry(name: str, low: float, high: float) -> Entry:
    ...     return Entry(name, 0, {"speedup": {"ratio": (low + high) / 2, "ci95": [low, high]}})
    >>> group_similar([entry("a", 2.0, 2.1), entry("b", 2.05, 2.2), entry("c", 3.0, 3.1)], speedup)
    {'a': 'a', 'b': 'b', 'c': 'c'}
    """
    groups: list[list[Entry]] = []
    for member in sorted(members, key=lambda entry: entry.candidate_id != first):
        like = next((g for g in groups if all(_are_similar(member, other, objectives) for other in g)), None)
        if like is None:
            groups.append([member])
        else:
            like.append(member)
    stands = {member.candidate_id: group[0].candidate_id for group in groups for member in group}
    return {member.candidate_id: stands[member.candidate_id] for member in members}


def _are_similar(first: Entry, second: Entry, objectives: Sequence[Objective]) -> bool:
    return all(_are_equal(first.metrics, second.metrics, objective) for objective in objectives)


def _are_equal(first: Mapping[str, Any], second: Mapping[str, Any], objective: Objective) -> bool:
    bounds = objective.gain_interval(first), objective.gain_interval(second)
    if bounds[0] is not None and bounds[1] is not None:
        gains = objective.gain(first), objective.gain(second)
        return all(
            gain is not None and low <= gain <= high
            for gain, (low, high) in zip(gains, (bounds[1], bounds[0]), strict=True)
        )
    values = objective.value(first), objective.value(second)
    if values[0] is None or values[1] is None:
        return values[0] is values[1]
    most = FIDELITY_RESOLUTION if objective.row.fidelity else RESOLUTION * max(abs(values[0]), abs(values[1]))
    return abs(values[0] - values[1]) <= most
