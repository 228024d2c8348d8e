"""How long a model takes until its first answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluators.measuring.statistics import median_interval


@dataclass(frozen=True)
class Starts:
    """Milliseconds to open a model and run it once, one of each kind a fresh process.

    ``cold_ms`` is the first time in the process, after the runtime was imported; ``warm_ms`` the second.
    """

    cold_ms: tuple[float, ...]
    warm_ms: tuple[float, ...]

    def metrics(self) -> dict[str, Any]:
        """``cold_start_ms`` and ``warm_start_ms`` as a candidate's metrics hold them."""
        return {"cold_start_ms": _figures(self.cold_ms), "warm_start_ms": _figures(self.warm_ms)}


def _figures(times_ms: Sequence[float]) -> dict[str, Any]:
    values = np.array(times_ms)
    interval = median_interval(values, np.arange(len(values), dtype=np.float64))
    return {"p50": float(np.median(values)), "ci95": list(interval), "n": len(times_ms)}
