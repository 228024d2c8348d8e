"""Pareto dominance, the front, its contenders, and the hypervolume.

Plain dominance on point estimates. A missing metric never enters; identical points keep the lowest trial number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.metrics import base_of, metric_of
from search.fronts.objectives import Objective, gains

Point = tuple[float, ...]

SLACK = 0.1
"""So much worse than the baseline, as a share of its figure, may be what compression costs and still count."""


@dataclass(frozen=True)
class Entry:
    """One feasible candidate as the front sees it."""

    candidate_id: str
    trial: int
    metrics: Mapping[str, Any]


def dominates(a: Point, b: Point) -> bool:
    """Whether ``a`` is at least as good everywhere and better somewhere; larger is better."""
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


def pareto_front(entries: Sequence[Entry], objectives: Sequence[Objective]) -> list[Entry]:
    """The entries that none dominates, best last objective first, then by trial number."""
    points = {e.candidate_id: p for e in entries if (p := gains(objectives, e.metrics)) is not None}
    chosen: dict[Point, Entry] = {}
    for entry in sorted(entries, key=lambda e: e.trial):
        point = points.get(entry.candidate_id)
        if point is None or point in chosen or any(dominates(other, point) for other in points.values()):
            continue
        chosen[point] = entry
    return sorted(chosen.values(), key=lambda e: (*(-x for x in reversed(points[e.candidate_id])), e.trial))


def tied_members(entry: Entry, front: Sequence[Entry], objectives: Sequence[Objective]) -> list[str]:
    """Ids of the members that dominate a dominated ``entry``, if its intervals separate it from none of them.

    Empty where some dominating member is clearly better: then the entry is no contender. A metric without an interval
    is exact.
    """
    point = gains(objectives, entry.metrics)
    if point is None:
        return []
    tied: list[str] = []
    for member in front:
        other = gains(objectives, member.metrics)
        if other is None or not dominates(other, point):
            continue
        if _separated(member, entry, objectives):
            return []
        tied.append(member.candidate_id)
    return tied


def clearly_dominates(better: Entry, worse: Entry, objectives: Sequence[Objective]) -> bool:
    """Whether an entry dominates another, and where the figures have intervals these say so too."""
    points = gains(objectives, better.metrics), gains(objectives, worse.metrics)
    if points[0] is None or points[1] is None or not dominates(points[0], points[1]):
        return False
    bounds = [(o.gain_interval(better.metrics), o.gain_interval(worse.metrics)) for o in objectives]
    return all(high[0] > low[1] for high, low in bounds if high is not None and low is not None)


def _separated(better: Entry, worse: Entry, objectives: Sequence[Objective]) -> bool:
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
    """What the hypervolume is measured from: 1 for the speed-up, the baseline for another cost to be made small, and
    for everything else a tenth of the baseline's figure worse than the baseline, since compression costs quality."""
    reference = {}
    for objective in objectives:
        value, name = objective.value(baseline), base_of(objective.metric)
        if name == "speedup":
            value = 1.0
        elif value is not None and objective.direction == "max":
            value -= SLACK * abs(value)
        elif value is not None and not metric_of(name).cost:
            value += SLACK * abs(value)
        reference[objective.metric] = 0.0 if value is None else round(value, 6)
    return reference


def floor_of(objectives: Sequence[Objective], reference: Mapping[str, float]) -> Point:
    """A reference as a point in which larger is better."""
    return tuple(reference[o.metric] if o.direction == "max" else -reference[o.metric] for o in objectives)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Volume dominated by ``points`` above ``reference``; larger is better in each coordinate (Zitzler, 1999).

    Slices along the last coordinate, exact for any number of objectives and quick enough for fronts of hundreds.
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
    front: Sequence[Entry], objectives: Sequence[Objective], reference: Mapping[str, float]
) -> Entry | None:
    """The member that alone dominates the largest volume above the reference; where none lies above it, the one that
    loses least where it loses most.

    Scaling each objective to the front's own ends would let a cosine between 0.99998 and 1 weigh as much as a speed-up
    between 1 and 3.5.
    """
    floor = floor_of(objectives, reference)
    points = {e.candidate_id: gains(objectives, e.metrics) or floor for e in front}
    volumes = {one: hypervolume([point], floor) for one, point in points.items()}
    if any(volumes.values()):
        return max(front, key=lambda e: volumes[e.candidate_id])
    best = [max(column) for column in zip(*points.values(), strict=True)]
    return min(front, key=lambda e: _largest_loss(points[e.candidate_id], best, floor), default=None)


def _largest_loss(point: Point, best: Sequence[float], floor: Point) -> float:
    """By how much a point falls short of the best, as a share of it (of the reference, where the best is 0), in the
    objective where that is most: minimax regret (Savage, 1951)."""
    sizes = [abs(top) or abs(low) or 1.0 for top, low in zip(best, floor, strict=True)]
    return max((top - x) / size for x, top, size in zip(point, best, sizes, strict=True))
