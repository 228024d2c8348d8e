"""What an evaluator promises: an exported file in, metrics out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluators.measuring.measurement import Measurement


@dataclass(frozen=True)
class Evaluation:
    """``metrics`` as plain data: numbers, or mappings with a main figure (``p50``, ``ratio``) and a ``ci95``; the raw
    ``measurement`` behind them where there is one."""

    metrics: dict[str, Any] = field(default_factory=dict)
    measurement: Measurement | None = None


class Evaluator(ABC):
    """Judges one exported file after another.

    ``metrics`` names what :meth:`evaluate` gives for every file that it can judge; no figure stands for a failure.
    Called from one thread; keeps no trace of a file between calls, so that order does not matter. Devices and sandboxes
    that it uses belong to whoever made it.
    """

    metrics: frozenset[str]

    @abstractmethod
    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """Metrics of a file as ``runtime`` (``name`` or ``name:hint``, None: the device's first) executes it.

        Raises a :class:`hwprofiles.errors.CandidateError` for a file that has none.
        """
