"""Where latency steps as channels grow: kernels compute channels in blocks of 8, 16, 32 …"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

STEPS = (64, 32, 16, 8)
"""Step sizes that are tried."""

ENOUGH = 3
"""Widths between whole steps that a step must explain."""

MOST = 0.25
"""The share of the time that a smooth curve would save between whole steps, that may in fact be saved."""

_LEAST_EXPECTED = 0.15


@dataclass(frozen=True)
class Granularity:
    """The ``step`` in which an operator's latency grows, None where it grows smoothly as far as the sweep shows.

    ``saved`` is what widths between whole steps save, against the next whole step, of what they would save if latency
    grew smoothly: 0 where a step holds, 1 where there is none. It belongs to the step, or else to the one that came
    closest.
    """

    step: int | None
    saved: float


def granularity(times: Mapping[int, float]) -> Granularity | None:
    """The largest step that explains the ``times`` (any unit) of an operator by its width.

    A width between two whole steps should take as long as the next one; a smooth curve (a power law between the two)
    would have it take less. A step holds where at most a quarter of that is saved over all such widths. What takes even
    longer than the next whole step saves nothing. Returns None where the sweep has fewer than three such widths for any
    step, or where time hardly grows at all.
    """
    shares = {step: share for step in STEPS if (share := _savings(times, step)) is not None}
    if not shares:
        return None
    found = next((step for step, share in shares.items() if share <= MOST), None)
    return Granularity(found, shares[found] if found else min(shares.values()))


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
