"""FLIQS: one training a target, which finds the layers' number formats while it trains the weights for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from search.options import StrategyOptions
from search.space.candidate import Candidate, Space
from search.strategies.base import Result, Strategy

Share = Annotated[float, Field(ge=0, lt=1)]


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FliqsOptions(StrategyOptions):
    """``targets`` are how many times cheaper than fp32 a candidate shall be, by ``cost``: bit-operations, bytes of
    stored weights, or latency as the device's table of layers has it.

    How the policy learns, times being shares of the training: until ``delay`` formats are drawn about the target and
    nothing is learnt; inputs are rounded from ``inputs_from`` on; from ``settle`` on formats are fixed. Each step asks
    the quality of ``samples`` draws. ``beta`` weighs the distance from the target against the quality (the mean
    probability of the right class); ``entropy`` is the last weight of the policy's entropy; a step of the policy is
    ``learning_rate`` at least, and longer in short trainings: all of them together could go ``reach`` far. ``momentum``
    is that of the mean reward, which a single sample counts against.
    """

    targets: tuple[Positive, ...] = Field((16.0, 28.0, 45.0), min_length=1)
    cost: Literal["bit_operations", "size", "latency"] = "bit_operations"
    delay: Share = 0.05
    inputs_from: Share = 0.05
    settle: float = Field(0.15, gt=0, le=1)
    samples: int = Field(16, ge=1)
    beta: Positive = 0.5
    entropy: float = Field(0.5, ge=0, allow_inf_nan=False)
    learning_rate: Positive = 5e-3
    reach: Positive = 20.0
    momentum: Share = 0.95

    @field_validator("targets")
    @classmethod
    def _different(cls, targets: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(dict.fromkeys(targets))


class Fliqs(Strategy):
    """Every target, with each of the other decisions' uniform values (such as the runtime), beginning with what changes
    nothing.

    A target is a value of the technique ``formats``, whose training does the search (:mod:`search.fliqs`; Dotzel et
    al., AutoML 2024): the strategy has nothing to learn from results.
    """

    Options = FliqsOptions
    options: FliqsOptions
    needs = ("formats",)

    def __init__(self, space: Space, objectives: int, constraints: int, seed: int, options: StrategyOptions) -> None:
        super().__init__(space, objectives, constraints, seed, options)
        self._candidates = space.uniform()
        self._asked = 0

    @property
    def batch(self) -> int:
        """See :attr:`Strategy.batch`."""
        return len(self._candidates)

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        found = self._candidates[self._asked % len(self._candidates)]
        self._asked += 1
        return found

    def tell(self, results: Sequence[Result]) -> None:
        """Nothing is learnt from them."""
