"""Uniform random search: the control that every other strategy must beat."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from search.candidate import Candidate, Space
from search.strategies.base import Result, Strategy, StrategyOptions


class RandomOptions(StrategyOptions):
    """``batch`` candidates are asked at once."""

    batch: int = Field(16, ge=1)


class RandomSearch(Strategy):
    """The uniform assignments first, then every decision drawn independently and uniformly."""

    Options = RandomOptions
    options: RandomOptions

    def __init__(self, space: Space, objectives: int, constraints: int, seed: int, options: StrategyOptions) -> None:
        super().__init__(space, objectives, constraints, seed, options)
        self._seeds = space.uniform()

    @property
    def batch(self) -> int:
        """See :attr:`Strategy.batch`."""
        return self.options.batch

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        if self._seeds:
            return self._seeds.pop(0)
        return self.space.candidate(
            {d.name: d.choices[int(self.rng.integers(len(d.choices)))] for d in self.space.decisions}
        )

    def tell(self, results: Sequence[Result]) -> None:
        """Learns nothing."""
