"""Members of a front that no user would tell apart: equal in all objectives within noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    figures = {member.candidate_id: _figures(member, objectives) for member in members}
    groups: list[list[str]] = []
    for member in sorted(figures, key=lambda candidate_id: candidate_id != first):
        own = figures[member]
        like = next((g for g in groups if all(_are_similar(own, figures[other], objectives) for other in g)), None)
        if like is None:
            groups.append([member])
        else:
            like.append(member)
    stands = {member: group[0] for group in groups for member in group}
    return {member: stands[member] for member in figures}


@dataclass(frozen=True)
class _Figure:
    """A member's figure in an objective; larger is better."""

    gain: float | None
    interval: tuple[float, float] | None


def _figures(member: Entry, objectives: Sequence[Objective]) -> list[_Figure]:
    return [
        _Figure(objective.gain(member.metrics), objective.gain_interval(member.metrics)) for objective in objectives
    ]


def _are_similar(first: Sequence[_Figure], second: Sequence[_Figure], objectives: Sequence[Objective]) -> bool:
    return all(map(_are_equal, first, second, objectives))


def _are_equal(first: _Figure, second: _Figure, objective: Objective) -> bool:
    if first.interval is not None and second.interval is not None:
        pairs = ((first.gain, second.interval), (second.gain, first.interval))
        return all(gain is not None and low <= gain <= high for gain, (low, high) in pairs)
    if first.gain is None or second.gain is None:
        return first.gain is second.gain
    most = FIDELITY_RESOLUTION if objective.row.fidelity else RESOLUTION * max(abs(first.gain), abs(second.gain))
    return abs(first.gain - second.gain) <= most
