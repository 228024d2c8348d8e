"""FLIQS: one training per target, which finds the layers' number formats while it trains the weights for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from search.options import StrategyOptions
from search.space.candidate import Candidate
from search.strategies.base import Result, Strategy, StrategyContext

Share = Annotated[float, Field(ge=0, lt=1)]


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FliqsOptions(StrategyOptions):
    """Options of the strategy ``fliqs``; points in time are shares of the training."""

    targets: tuple[Positive, ...] = Field((16.0, 28.0, 45.0), min_length=1)
    """How many times cheaper than fp32 the candidates shall be."""
    cost: Literal["bit_operations", "size", "latency"] = "bit_operations"
    """Bit-operations, bytes of stored weights, or latency by the device's layer table."""
    delay: Share = 0.05
    """End of the warm-up, in which formats are drawn around the target and nothing is learnt."""
    inputs_from: Share = 0.05
    """When the rounding of inputs starts."""
    settle: float = Field(0.15, gt=0, le=1)
    """When formats are fixed."""
    samples: int = Field(16, ge=1)
    """Draws per step whose quality is computed."""
    beta: Positive = 0.5
    """Weight of the distance from the target against the quality (the mean probability of the right class)."""
    entropy: float = Field(0.5, ge=0, allow_inf_nan=False)
    """Final weight of the policy's entropy."""
    learning_rate: Positive = 5e-3
    """Smallest step of the policy."""
    reach: Positive = 20.0
    """Smallest sum of the policy's steps: makes them longer in short trainings."""
    momentum: Share = 0.95
    """Momentum of the moving average of rewards, the baseline of a single sample."""

    @field_validator("targets")
    @classmethod
    def _distinct(cls, targets: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(dict.fromkeys(targets))


class Fliqs(Strategy):
    """Proposes every target, with each uniform value of the other decisions (such as the runtime); the baseline first.

    A target is a value of the technique ``formats``, whose training does the search (:mod:`search.fliqs`; Dotzel et
    al., AutoML 2024). So the strategy learns nothing from results.
    """

    Options = FliqsOptions
    options: FliqsOptions
    needs = ("formats",)

    def __init__(self, context: StrategyContext, options: StrategyOptions) -> None:
        super().__init__(context, options)
        self._candidates = self.space.uniform()
        self._ask_count = 0

    @property
    def batch(self) -> int:
        """See :attr:`Strategy.batch`."""
        return len(self._candidates)

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        candidate = self._candidates[self._ask_count % len(self._candidates)]
        self._ask_count += 1
        return candidate

    def tell(self, results: Sequence[Result]) -> None:
        """Ignores the results."""
