"""The devices of a job and their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hwprofiles import Profile


@dataclass(frozen=True)
class JobDevice:
    """A device of a job: its profile, and the label that its figures are stored under."""

    label: str
    profile: Profile


def labels_of(devices: Sequence[tuple[str, int, int]]) -> tuple[str, ...]:
    """Labels for devices given as ``(name, threads, batch)``: the name if it is unique, else with both appended.

    >>> labels_of([("phone", 4, 1), ("local-cpu", 1, 1), ("local-cpu", 2, 8)])
    ('phone', 'local-cpu-t1-b1', 'local-cpu-t2-b8')
    """
    times = Counter(name for name, _, _ in devices)
    return tuple(name if times[name] == 1 else f"{name}-t{threads}-b{batch}" for name, threads, batch in devices)
