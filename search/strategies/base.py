"""Base class of strategies, which propose candidates and learn from results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from evaluators.graphs.layer_groups import LayerGroup
from search.fronts.objectives import Constraint, Objective
from search.options import StrategyOptions
from search.space.candidate import Candidate, Space
from search.space.encoding import UnitEncoding

Sections = Mapping[str, Mapping[str, Any]]
"""A job's space: the options of each technique by its name."""


@dataclass(frozen=True)
class Result:
    """Result of a candidate."""

    candidate: Candidate
    gains: tuple[float, ...] | None
    """One per objective, larger is better; None if the candidate failed."""
    violations: tuple[float, ...] = ()
    """One per constraint, 0 if it is met."""
    missing: bool = False
    """True if there is no result for reasons of the machine, which says nothing about the candidate."""

    @property
    def feasible(self) -> bool:
        """Whether the candidate has all metrics and meets all constraints."""
        return self.gains is not None and not any(self.violations)


@dataclass(frozen=True)
class Reward:
    """What a policy was rewarded for a candidate that it proposed: a point of a learning curve."""

    digest: str
    """The candidate."""
    policy: str
    """Which of the strategy's policies."""
    update: int
    """The policy's update that learnt from it, counted from 1."""
    value: float
    weight: float = 1.0
    """What the reward weighs the cost with; rewards of different weights are not comparable."""
    stage: int | None = None
    """The stage of the search, counted from 1; None without stages."""


class LatencyPredictor(Protocol):
    """Predicts a candidate's speed-up from times measured before the first candidate: the same decisions give the same
    prediction, also when a job is resumed."""

    def speedup(self, decisions: Mapping[str, str]) -> float | None:
        """Predicts the speed-up over the fp32 baseline on the job's first device; None if it cannot be predicted."""


@dataclass(frozen=True)
class StrategyContext:
    """Everything that a strategy knows of its job before the first result."""

    space: Space
    objectives: tuple[Objective, ...]
    """Metric and direction of each gain of a :class:`Result`, in its order."""
    constraints: tuple[Constraint, ...] = ()
    """The constraint of each violation of a :class:`Result`, in its order."""
    seed: int = 0
    predictor: LatencyPredictor | None = None
    """For screening proposals, never to replace a result; None if the job has no layer tables."""
    units: Mapping[str, LayerGroup] = field(default_factory=dict)
    """The layers that decisions are about, by the decisions' targets: operator, multiply-accumulates and sizes."""
    encodings: Mapping[str, UnitEncoding] = field(default_factory=dict)
    """The parts of the module that decisions are about, by the decisions' targets; the space is in the module's
    order."""
    policies: MutableMapping[str, Any] = field(default_factory=dict, compare=False)
    """What strategies learnt and later jobs may start from, as JSON-able data by a name; stored on this machine. Read
    only what the options name."""
    note: Callable[[str], None] = field(default=lambda text: None, compare=False)
    """Adds a line to the job's log."""


class Strategy(ABC):
    """Proposes candidates of one space for one job. Called from one thread.

    Deterministic by space, seed and the results in the order they are told: the same calls give the same candidates,
    whatever the clock, the process or the number of workers. The strategy owns its random state.

    ``ask`` may repeat a candidate. Each ``ask`` gets exactly one result by ``tell``, in the order asked, before the
    next block. A failed candidate has ``gains=None`` and must not stop the strategy. So has a ``missing`` one, which is
    no failure: the strategy must not learn anything from it.
    """

    Options: ClassVar[type[StrategyOptions]] = StrategyOptions
    needs: ClassVar[tuple[str, ...]] = ()
    """Techniques that the job's space must contain."""

    @classmethod
    def sections(cls, space: Sections, options: Mapping[str, Any]) -> Sections:
        """Returns the job's space as its techniques read it, for a strategy that has options for them; by default as
        it is.

        ``space`` contains all that the strategy needs. Raises :class:`InvalidInput` if it contradicts the options.
        """
        return space

    def __init__(self, context: StrategyContext, options: StrategyOptions) -> None:
        self.context = context
        self.space = context.space
        self.options = options
        self.rng = np.random.default_rng(context.seed)

    @property
    @abstractmethod
    def batch(self) -> int:
        """Preferred number of candidates to ask for at once."""

    @abstractmethod
    def ask(self) -> Candidate:
        """Proposes the next candidate."""

    @abstractmethod
    def tell(self, results: Sequence[Result]) -> None:
        """Receives the results of all candidates since the last ``tell``, in the order asked."""

    @property
    def rewards(self) -> Sequence[Reward]:
        """All rewards so far, in the order in which their candidates were told: the strategy's learning curve, shown to
        users. Depends on the results alone, since a resumed job replays them; empty in a strategy without rewards."""
        return ()

    def state_dict(self) -> dict[str, Any]:
        """Returns the learned state as JSON-able data, saved after each block; empty if replaying the calls restores
        it exactly."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - nothing to restore is a valid default
        """Restores the result of :meth:`state_dict`, in a strategy that was told the same results again.

        A job that is resumed replays all blocks and then restores what was saved after the last one, so that rounding
        on another processor changes nothing.
        """
