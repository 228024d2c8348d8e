"""What baselines took lately on a device, so that one that takes another time is noticed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evaluators.health.notes import Notes
from hwprofiles.digest import digest_of

ENOUGH = 3
"""Earlier measurements of a baseline, before a later one can be called far from them."""

KEPT = 48
"""Of each baseline. A machine that became another one for good is its own measure once three quarters of these are
from then."""

RECENT_S = 24 * 3600.0
_MODELS = 256


class History:
    """Medians of the last measurements of each baseline, in one file a profile. What has drifted is remembered too."""

    def __init__(self, folder: Path, profile_digest: str, now: Callable[[], float] = time.time) -> None:
        self._notes = Notes(folder / f"baselines-{profile_digest[:16]}.json", width=2, names=_MODELS, kept=KEPT)
        self._now = now

    def drift_share(self, key: str, median_ms: float) -> float | None:
        """How much longer than lately the baseline took (0.1: a tenth; negative: less long), None where too little is
        known.

        Lately is the fastest quarter of the last day's measurements: a machine is slowed down now and then, by what may
        not show anywhere else, but never sped up.
        """
        recent = [ms for at, ms in self._notes.read().get(key, []) if 0 <= self._now() - at <= RECENT_S]
        return median_ms / float(np.quantile(recent, 0.25)) - 1 if len(recent) >= ENOUGH else None

    def remember(self, key: str, median_ms: float) -> None:
        """Adds a measurement of a baseline."""
        self._notes.add(key, (self._now(), median_ms))


def baseline_key(sha256: str, threads: int, shapes: dict[str, list[int]]) -> str:
    """Names a baseline by its content and by what it is fed."""
    return digest_of([sha256, threads, shapes])[:32]
