"""Pareto dominance, the front, its contenders, and the hypervolume.

Dominance compares point estimates. Entries that lack a metric are ignored; of identical points the lowest trial number
stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.metrics import base_of
from search.fronts.objectives import Objective, gains

Point = tuple[float, ...]

SLACK = 0.1
"""Loss against the baseline, as a share of its figure, up to which a candidate adds to the hypervolume."""


@dataclass(frozen=True)
class Entry:
    """A feasible candidate, as needed for a front."""

    candidate_id: str
    trial: int
    metrics: Mapping[str, Any]


def dominates(a: Point, b: Point) -> bool:
    """Returns whether ``a`` is at least as good everywhere and better somewhere; larger is better."""
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


def undominated(points: Iterable[Point]) -> list[Point]:
    """Returns the points that none dominates, the largest first objective first."""
    front: list[Point] = []
    for point in sorted(set(points), reverse=True):  # what dominates a point comes before it
        if not any(dominates(rival, point) for rival in front):
            front.append(point)
    return front


def pareto_front(entries: Sequence[Entry], objectives: Sequence[Objective]) -> list[Entry]:
    """Returns the entries that none dominates, sorted by the last objective (best first), …, then by trial number."""
    by_point: dict[Point, Entry] = {}
    for entry in sorted(entries, key=lambda e: e.trial):
        if (point := gains(objectives, entry.metrics)) is not None:
            by_point.setdefault(point, entry)
    return [by_point[point] for point in sorted(undominated(by_point), key=lambda p: [-gain for gain in reversed(p)])]


def tied_members(entry: Entry, front: Sequence[Entry], objectives: Sequence[Objective]) -> list[str]:
    """Ids of the members that dominate ``entry``, if all of them are within measurement error of it.

    Empty if one of them is clearly better: then the entry is no contender. A metric without an interval is exact.
    """
    return _tied_members(entry, [(member, gains(objectives, member.metrics)) for member in front], objectives)


def contenders_of(
    entries: Sequence[Entry], front: Sequence[Entry], objectives: Sequence[Objective]
) -> dict[str, list[str]]:
    """Returns the entries with :func:`tied_members`, by trial number."""
    rivals = [(member, gains(objectives, member.metrics)) for member in front]
    ties = {e.candidate_id: _tied_members(e, rivals, objectives) for e in sorted(entries, key=lambda e: e.trial)}
    return {candidate_id: tied for candidate_id, tied in ties.items() if tied}


def _tied_members(
    entry: Entry, front: Sequence[tuple[Entry, Point | None]], objectives: Sequence[Objective]
) -> list[str]:
    point = gains(objectives, entry.metrics)
    if point is None:
        return []
    tied: list[str] = []
    for member, rival in front:
        if rival is None or not dominates(rival, point):
            continue
        if _is_clearly_better(member, entry, objectives):
            return []
        tied.append(member.candidate_id)
    return tied


def clearly_dominates(better: Entry, worse: Entry, objectives: Sequence[Objective]) -> bool:
    """Returns whether an entry dominates another, also by the intervals of the figures that have them."""
    points = gains(objectives, better.metrics), gains(objectives, worse.metrics)
    if points[0] is None or points[1] is None or not dominates(points[0], points[1]):
        return False
    bounds = [(o.gain_interval(better.metrics), o.gain_interval(worse.metrics)) for o in objectives]
    return all(high[0] > low[1] for high, low in bounds if high is not None and low is not None)


def _is_clearly_better(better: Entry, worse: Entry, objectives: Sequence[Objective]) -> bool:
    for objective in objectives:
        high, low = objective.gain_interval(better.metrics), objective.gain_interval(worse.metrics)
        if high is None or low is None:
            better_gain, worse_gain = objective.gain(better.metrics), objective.gain(worse.metrics)
            if better_gain is not None and worse_gain is not None and better_gain > worse_gain:
                return True
        elif high[0] > low[1]:
            return True
    return False


def reference_point(objectives: Sequence[Objective], baseline: Mapping[str, Any]) -> dict[str, float]:
    """Returns the hypervolume's reference point, by metric.

    1 for the speed-up, the baseline for another cost to be minimised, and for everything else a tenth of the baseline's
    figure worse than the baseline, since compression costs quality.
    """
    reference = {}
    for objective in objectives:
        value, name = objective.value(baseline), base_of(objective.metric)
        if name == "speedup":
            value = 1.0
        elif value is not None and objective.direction == "max":
            value -= SLACK * abs(value)
        elif value is not None and not objective.row.cost:
            value += SLACK * abs(value)
        reference[objective.metric] = 0.0 if value is None else round(value, 6)
    return reference


def floor_of(objectives: Sequence[Objective], reference: Mapping[str, float]) -> Point:
    """Returns a reference point in which larger is better."""
    return tuple(reference[o.metric] if o.direction == "max" else -reference[o.metric] for o in objectives)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Volume dominated by ``points`` above ``reference``; larger is better in each coordinate (Zitzler, 1999).

    Slices along the last coordinate: exact for any number of objectives, fast enough for hundreds of points.
    """
    inside = [p for p in points if all(x > r for x, r in zip(p, reference, strict=True))]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return max(p[0] for p in inside) - reference[0]
    volume, floor = 0.0, reference[-1]
    for height in sorted({p[-1] for p in inside}):
        slab = [p[:-1] for p in inside if p[-1] >= height]
        volume += (height - floor) * hypervolume(slab, reference[:-1])
        floor = height
    return volume


def best_compromise(
    front: Sequence[Entry], objectives: Sequence[Objective], baseline: Mapping[str, Any]
) -> Entry | None:
    """Returns the member with the largest product of its gains over :func:`reference_point` in all objectives.

    If none gains in all of them, the member with the smallest largest loss (minimax regret); None if no member is
    better than the baseline in any objective. Of a figure with an interval the worse end counts, so that noise is no
    gain. Objectives are not scaled to the range of the front: a cosine between 0.99998 and 1 would weigh as much as a
    speed-up between 1 and 3.5.
    """
    points = {e.candidate_id: point for e in front if (point := _certain_gains(objectives, e.metrics)) is not None}
    usual = [_baseline_gain(objective, baseline) for objective in objectives]
    better = [e for e in front if _is_better(points.get(e.candidate_id, ()), usual)]
    floor = floor_of(objectives, reference_point(objectives, baseline))
    volumes = {e.candidate_id: hypervolume([points[e.candidate_id]], floor) for e in better}
    if any(volumes.values()):
        return max(better, key=lambda e: volumes[e.candidate_id])
    best = [max(column) for column in zip(*(points[e.candidate_id] for e in better), strict=True)]
    return min(better, key=lambda e: _largest_loss(points[e.candidate_id], best, floor), default=None)


def _certain_gains(objectives: Sequence[Objective], metrics: Mapping[str, Any]) -> Point | None:
    """Returns all gains, the worse end of those with an interval; None if a metric is missing."""
    if (point := gains(objectives, metrics)) is None:
        return None
    bounds = [objective.gain_interval(metrics) for objective in objectives]
    return tuple(gain if ends is None else ends[0] for gain, ends in zip(point, bounds, strict=True))


def _baseline_gain(objective: Objective, baseline: Mapping[str, Any]) -> float | None:
    """Returns the baseline's gain: by definition, where it has one."""
    fixed = objective.row.baseline
    return objective.gain(baseline) if fixed is None else fixed if objective.direction == "max" else -fixed


def _is_better(point: Sequence[float], usual: Sequence[float | None]) -> bool:
    return any(other is not None and gain > other for gain, other in zip(point, usual, strict=False))


def _largest_loss(point: Point, best: Sequence[float], floor: Point) -> float:
    """Returns the largest relative loss of a point against the best over all objectives (regret: Savage, 1951).

    Relative to the best value, or to the reference if the best is 0.
    """
    sizes = [abs(top) or abs(low) or 1.0 for top, low in zip(best, floor, strict=True)]
    return max((top - x) / size for x, top, size in zip(point, best, sizes, strict=True))
