"""What a strategy promises: it proposes candidates and learns from results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from search.options import StrategyOptions
from search.space.candidate import Candidate, Space


@dataclass(frozen=True)
class Result:
    """What became of a candidate: its ``gains`` (one an objective, larger is better; None when it failed) and its
    ``violations`` (one a constraint, 0 where it holds). ``missing`` says that nothing became of it: the machine kept it
    from a result, which says nothing about the candidate."""

    candidate: Candidate
    gains: tuple[float, ...] | None
    violations: tuple[float, ...] = ()
    missing: bool = False

    @property
    def feasible(self) -> bool:
        """Whether it has all metrics and keeps all constraints."""
        return self.gains is not None and not any(self.violations)


class LatencyPredictor(Protocol):
    """Says what a candidate's speed-up will be, from times that were taken before the first candidate: the same
    decisions give the same prediction, also when a job is resumed."""

    def speedup(self, decisions: Mapping[str, str]) -> float | None:
        """The predicted speed-up over the fp32 baseline on the job's first device; None where none can be told."""


class Strategy(ABC):
    """Proposes candidates of one space for one job.

    Called from one thread. Everything is a function of the space, the seed and the results told, in the order told:
    asking again and telling again in the same order gives the same candidates, whatever the clock, the process or the
    number of workers. ``ask`` may return a candidate that it returned before; each ``ask`` is answered by exactly one
    ``tell``, in the order asked, before the next block. A failed candidate is told with ``gains=None`` and must not
    stop the strategy. One that is ``missing`` is told likewise, and is neither a failure nor bad: nothing may be learnt
    from it. The object owns its random state and shares it with nothing.
    """

    Options: ClassVar[type[StrategyOptions]] = StrategyOptions
    needs: ClassVar[tuple[str, ...]] = ()
    """Techniques that a job's space must name for it."""

    def __init__(self, space: Space, objectives: int, constraints: int, seed: int, options: StrategyOptions) -> None:
        self.space = space
        self.objectives = objectives
        self.constraints = constraints
        self.options = options
        self.rng = np.random.default_rng(seed)
        self.predictor: LatencyPredictor | None = None
        """Set before the first ``ask``, where the job has one: to screen proposals with, never in a result's place."""
        self.metrics: tuple[str, ...] = ()
        """Set likewise: the objectives' metrics; empty where nobody says."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """Candidates that it likes to be asked for at once."""

    @abstractmethod
    def ask(self) -> Candidate:
        """The next candidate to try."""

    @abstractmethod
    def tell(self, results: Sequence[Result]) -> None:
        """What became of all candidates asked since the last ``tell``, in the order asked."""

    def state_dict(self) -> dict[str, Any]:
        """Learned state as JSON-able data, saved after each block; empty where re-asking restores everything."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - nothing to restore is a valid default
        """Restores what :meth:`state_dict` gave."""
