"""Start-up times: how long a model takes until its first output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluators.measuring.statistics import median_interval


@dataclass(frozen=True)
class Starts:
    """Times to open a model and run it once, each from a fresh process."""

    cold_ms: tuple[float, ...]
    """The first time in the process, after the runtime was imported."""
    warm_ms: tuple[float, ...]
    """The second time in the process."""

    def metrics(self) -> dict[str, Any]:
        """Returns the candidate's metrics ``cold_start_ms`` and ``warm_start_ms``."""
        return {"cold_start_ms": _figures(self.cold_ms), "warm_start_ms": _figures(self.warm_ms)}


def _figures(times_ms: Sequence[float]) -> dict[str, Any]:
    values = np.array(times_ms)
    interval = median_interval(values, np.arange(len(values), dtype=np.float64))
    return {"p50": float(np.median(values)), "ci95": list(interval), "n": len(times_ms)}
