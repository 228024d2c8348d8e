"""Remembers recent latencies of baselines on a device, to notice a machine that became slower."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evaluators.health.notes import Notes
from hwprofiles.digest import digest_of

ENOUGH = 3
"""Number of earlier measurements needed to call a later one drifted."""

KEPT = 48
"""Measurements kept per baseline. After a lasting change of the machine, three quarters of them must be newer before
the change counts as normal."""

RECENT_S = 24 * 3600.0
"""Age up to which measurements are compared with."""
_MODELS = 256


class History:
    """Medians of the last measurements of each baseline, in one file per profile. Drifted ones are kept, too."""

    def __init__(self, folder: Path, profile_digest: str, now: Callable[[], float] = time.time) -> None:
        self._notes = Notes(folder / f"baselines-{profile_digest[:16]}.json", width=2, names=_MODELS, kept=KEPT)
        self._now = now

    def drift_share(self, key: str, median_ms: float) -> float | None:
        """By which share the baseline is slower than recently (0.1: 10 % slower; negative: faster).

        None if there are too few measurements. Compared with the fastest quarter of the last day: invisible causes
        sometimes slow a machine down, but never speed it up.
        """
        recent = [ms for at, ms in self._notes.read().get(key, []) if 0 <= self._now() - at <= RECENT_S]
        return median_ms / float(np.quantile(recent, 0.25)) - 1 if len(recent) >= ENOUGH else None

    def remember(self, key: str, median_ms: float) -> None:
        """Adds a measurement of a baseline."""
        self._notes.add(key, (self._now(), median_ms))


def baseline_key(sha256: str, threads: int, shapes: dict[str, list[int]]) -> str:
    """Names a baseline by its content, threads and input shapes."""
    return digest_of([sha256, threads, shapes])[:32]
