"""Finds the step in which latency grows with channels: kernels compute channels in blocks of 8, 16, 32 …"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

STEPS = (64, 32, 16, 8)
"""Steps to try."""

ENOUGH = 3
"""Least number of widths between whole steps that a step must explain."""

MOST = 0.25
"""Largest saving between whole steps, as a share of what a smooth curve would save."""

_LEAST_EXPECTED = 0.15


@dataclass(frozen=True)
class Granularity:
    """The step in which an operator's latency grows."""

    step: int | None
    """None if latency grows smoothly."""
    saved: float
    """Time that widths between whole steps save against the next whole step, as a share of a smooth curve's saving.

    0 if a step holds exactly, 1 if there is none. It belongs to ``step``, or else to the step that fits best.
    """


def granularity(times: Mapping[int, float]) -> Granularity | None:
    """Finds the largest step that explains an operator's ``times`` (any unit) by width.

    If a step holds, a width between two whole steps takes as long as the next whole step; on a smooth curve (a power
    law between the two) it takes less. A step holds if at most a quarter of that saving is measured over all such
    widths; a width that takes even longer saves nothing. Returns None if no step has three such widths, or if time
    hardly grows.
    """
    shares = {step: share for step in STEPS if (share := _savings(times, step)) is not None}
    if not shares:
        return None
    largest = next((step for step, share in shares.items() if share <= MOST), None)
    return Granularity(largest, shares[largest] if largest else min(shares.values()))


def _savings(times: Mapping[int, float], step: int) -> float | None:
    saved, expected, count = 0.0, 0.0, 0
    for width, time in times.items():
        below, above = width // step * step, -(-width // step) * step
        if below == above or below not in times or above not in times:
            continue
        growth = math.log(times[above] / times[below])
        expected += growth * math.log(above / width) / math.log(above / below)
        saved += max(0.0, math.log(times[above] / time))
        count += 1
    if count < ENOUGH or expected < _LEAST_EXPECTED:
        return None
    return min(1.0, saved / expected)
