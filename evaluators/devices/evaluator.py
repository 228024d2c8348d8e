"""The interface of evaluators: an exported file in, metrics out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluators.measuring.measurement import Measurement


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluating a file."""

    metrics: dict[str, Any] = field(default_factory=dict)
    """Plain data: numbers, or mappings with a main figure (``p50``, ``ratio``) and a ``ci95``."""
    measurement: Measurement | None = None
    """The raw measurement behind the metrics, if any."""


class Evaluator(ABC):
    """Evaluates exported files, one after another.

    Called from one thread. Keeps nothing of a file between calls, so that their order does not matter. The devices and
    sandboxes that it uses belong to its creator.
    """

    metrics: frozenset[str]
    """Names of the metrics that :meth:`evaluate` returns for every file that it can evaluate. Failures are exceptions,
    never figures."""

    @abstractmethod
    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """Evaluates a file in ``runtime`` (``name`` or ``name:hint``, None: the device's first).

        Raises a :class:`hwprofiles.errors.CandidateError` for a file that cannot be evaluated.
        """
