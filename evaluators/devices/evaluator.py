"""The interface of evaluators: an exported file in, metrics out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import onnx

from evaluators.graphs.model import load_model
from evaluators.measuring.measurement import Measurement
from hwprofiles.errors import BuildFailed, InvalidInput


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
    """Names of the metrics that :meth:`evaluate` returns for every file that it can evaluate; each has a row in
    :data:`evaluators.metrics.METRICS`. Failures are exceptions, never figures."""
    sometimes: ClassVar[frozenset[str]] = frozenset()
    """Names of further metrics, which only some devices give."""
    by_default: ClassVar[bool] = False
    """Whether it also evaluates for jobs that name none of its metrics. One that measures on a device does so for them
    only in the preparation, in final measurements and for receipts."""

    @abstractmethod
    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        """Evaluates a file in ``runtime`` (``name`` or ``name:hint``, None: the device's first).

        Raises a :class:`hwprofiles.errors.CandidateError` for a file that cannot be evaluated.
        """


def load_candidate(path: Path) -> onnx.ModelProto:
    """Loads a candidate's file as :func:`evaluators.graphs.model.load_model` does.

    Raises :class:`BuildFailed` if it is missing or is no model: it was built from valid input.
    """
    try:
        return load_model(path)
    except InvalidInput as error:
        raise BuildFailed(error.message, error.hint) from None
