"""The front of a set of trials: members, contenders, nearest miss, and the document that is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.fronts.objectives import Constraint, Objective, gains, metric_value, violations
from search.fronts.pareto import (
    Entry,
    clearly_dominates,
    contenders_of,
    floor_of,
    hypervolume,
    pareto_front,
    reference_point,
)
from search.states import TrialState
from search.store import TrialRow


@dataclass(frozen=True)
class Front:
    """The front of a set of trials."""

    members: list[Entry]
    """Feasible candidates that none dominates."""
    contenders: dict[str, list[str]]
    """Candidates that are within measurement error of the members that dominate them, with these members' ids."""
    nearest_miss: dict[str, str] | None
    """The infeasible candidate closest to the constraints, with the reason; None if there are members."""
    document: dict[str, Any]
    """The front as stored."""
    best_speedup: float | None = None
    """Reported speed-up of the member that is fastest by the deciding figures."""


def front_of(
    rows: Sequence[TrialRow],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    baseline: Mapping[str, Any],
    *,
    deciding: Sequence[TrialRow] | None = None,
    unconfirmed: Mapping[str, str] | None = None,
    final: bool = False,
) -> Front:
    """Returns the front of all feasible trials.

    ``deciding`` are the same trials with the figures by which members and contenders are chosen, if these differ from
    the reported figures: a figure that a candidate was chosen by is biased towards better. A member that the reported
    figures of another clearly dominate is removed. ``unconfirmed`` maps candidates that were not measured again to the
    reason.
    """
    feasible = [Entry(r.candidate_id, r.number, r.metrics) for r in rows if r.state is TrialState.DONE]
    reported = {entry.candidate_id: entry for entry in feasible}
    if deciding is not None:
        chosen = (row for row in deciding if row.state is TrialState.DONE and row.candidate_id in reported)
        feasible = [Entry(row.candidate_id, row.number, row.metrics) for row in chosen]
    chosen_members, members = _members(feasible, reported, objectives)
    ids = {entry.candidate_id for entry in members}
    contenders = contenders_of(
        [entry for entry in feasible if entry.candidate_id not in ids], chosen_members, objectives
    )
    fastest = max(chosen_members, key=lambda entry: metric_value(entry.metrics, "speedup") or 0.0, default=None)
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
        "fastest": None if fastest is None else fastest.candidate_id,
        "unconfirmed": {name: why for name, why in (unconfirmed or {}).items() if name in ids},
        "final": final,
    }
    best = None if fastest is None else metric_value(reported[fastest.candidate_id].metrics, "speedup")
    return Front(members, contenders, miss, document, best)


def _members(
    deciding: Sequence[Entry], reported: Mapping[str, Entry], objectives: Sequence[Objective]
) -> tuple[list[Entry], list[Entry]]:
    """Returns the members with their deciding and with their reported figures.

    Without those that the reported figures of another member clearly dominate: they were chosen by luck.
    """
    left = list(deciding)
    while True:
        chosen = pareto_front(left, objectives)
        members = [reported[entry.candidate_id] for entry in chosen]
        refuted = {
            m.candidate_id for m in members if any(clearly_dominates(better, m, objectives) for better in members)
        }
        if not refuted:
            return chosen, members
        left = [entry for entry in left if entry.candidate_id not in refuted]


def _nearest_miss(
    rows: Sequence[TrialRow],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    baseline: Mapping[str, Any],
) -> dict[str, str] | None:
    """Returns the measured trial that breaks its constraints least, each relative to the metric's size.

    One that lacks a metric only if there is no other.
    """
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
