"""A job's front as the store keeps it, and what must be measured again before it is final."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.objectives import Constraint, Objective, gains, metric_value, violations
from search.pareto import Entry, floor_of, hypervolume, pareto_front, reference_point, tied_members
from search.states import TrialState
from search.store import TrialRow


@dataclass(frozen=True)
class Front:
    """Members (none dominated), contenders (dominated, but not clearly) and the nearest miss of a set of trials."""

    members: list[Entry]
    contenders: dict[str, list[str]]
    nearest_miss: dict[str, str] | None
    document: dict[str, Any]


def front_of(
    rows: Sequence[TrialRow],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    baseline: Mapping[str, Any],
    *,
    eligible: frozenset[str] | None = None,
    final: bool = False,
) -> Front:
    """The front of all feasible trials, or of the ``eligible`` ones among them."""
    feasible = [Entry(r.candidate_id, r.number, r.metrics) for r in rows if r.state is TrialState.DONE]
    chosen = [e for e in feasible if eligible is None or e.candidate_id in eligible]
    members = pareto_front(chosen, objectives)
    ids = {entry.candidate_id for entry in members}
    contenders = {
        entry.candidate_id: tied
        for entry in sorted(feasible, key=lambda e: e.trial)
        if entry.candidate_id not in ids and (tied := tied_members(entry, members, objectives))
    }
    miss = None if members else _nearest_miss(rows, objectives, constraints, baseline)
    reference = reference_point(objectives, baseline)
    floor = floor_of(objectives, reference)
    points = [point for entry in members if (point := gains(objectives, entry.metrics)) is not None]
    tied_with: dict[str, list[str]] = {entry.candidate_id: [] for entry in members}
    for contender, tied in contenders.items():
        for member in tied:
            tied_with[member].append(contender)
    document = {
        "objectives": [{"metric": o.metric, "direction": o.direction} for o in objectives],
        "hypervolume": {
            "value": round(hypervolume(points, floor), 9),
            "reference": reference,
        },
        "members": [entry.candidate_id for entry in members],
        "tied_with": {member: tied for member, tied in tied_with.items() if tied},
        "nearest_miss": miss,
        "final": final,
    }
    return Front(members, contenders, miss, document)


def best_speedup(entries: Sequence[Entry]) -> float | None:
    """The largest speed-up among entries."""
    values = [value for entry in entries if (value := metric_value(entry.metrics, "speedup")) is not None]
    return max(values, default=None)


def _nearest_miss(
    rows: Sequence[TrialRow],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    baseline: Mapping[str, Any],
) -> dict[str, str] | None:
    """The measured trial that breaks its constraints least, each relative to the metric's size; one that lacks a metric
    only where there is no other."""
    measured = [row for row in rows if row.state is TrialState.INFEASIBLE]
    if not measured:
        return None

    def excess(row: TrialRow) -> float:
        if gains(objectives, row.metrics) is None:
            return math.inf
        amounts = violations(constraints, row.metrics, baseline)
        sizes = [abs(metric_value(row.metrics, c.metric) or 1.0) or 1.0 for c in constraints]
        return sum(amount / size for amount, size in zip(amounts, sizes, strict=True))

    nearest = min(measured, key=lambda row: (excess(row), row.number))
    reason = nearest.reason if gains(objectives, nearest.metrics) is None else f"breaks {nearest.reason}"
    return {"candidate_id": nearest.candidate_id, "reason": reason or ""}
