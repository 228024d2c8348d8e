"""Regularised evolution (Real et al., AAAI 2019), for several objectives."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from search.bounds import MOST, MOST_AT_ONCE
from search.options import StrategyOptions
from search.space.candidate import Candidate
from search.strategies.base import Result, StrategyContext
from search.strategies.drawing import DrawingOptions, DrawingStrategy
from search.strategies.observations import shares_of_range


class EvolutionOptions(DrawingOptions):
    """Options of the strategy ``evolution``."""

    population: int = Field(32, ge=2, le=MOST_AT_ONCE)
    """Candidates that may have children: the newest ones."""
    sample: int = Field(8, ge=1, le=MOST_AT_ONCE)
    """Candidates of the population that compete to be the parent of a child."""
    batch: int = Field(8, ge=1, le=MOST_AT_ONCE)
    """Children in a block."""
    mutations: float = Field(1.0, gt=0, le=MOST)
    """Decisions of a child that change, on average; at least one does."""
    screen: int = Field(1, ge=1, le=1000)
    """Children per candidate, of which one is chosen by its predicted latency."""


class Evolution(DrawingStrategy):
    """Proposes the uniform assignments and random candidates, then mutated copies of good ones; the oldest die.

    The parent is the best of a random sample by a random weighting of the objectives, so that children arise along the
    whole front; feasible candidates before infeasible ones, and these by the sum of their violations. Dying of age
    rather than of weakness keeps a candidate whose measurement was lucky from having children for ever. Failed and
    missing candidates have no children. Screening drops children.
    """

    Options = EvolutionOptions
    options: EvolutionOptions

    def __init__(self, context: StrategyContext, options: StrategyOptions) -> None:
        super().__init__(context, options)
        self._population: deque[Result] = deque(maxlen=self.options.population)
        self._free = [decision for decision in self.space.decisions if len(decision.choices) > 1]

    def tell(self, results: Sequence[Result]) -> None:
        """See :meth:`Strategy.tell`."""
        self._population.extend(result for result in results if result.gains is not None and not result.missing)

    def draw(self) -> Candidate:
        """Draws a child, or a random candidate while the population is not complete."""
        if len(self._population) < self.options.population:
            return self.draw_uniformly()
        values = dict(self._choose_parent().values)
        if self._free:
            chance = min(1.0, self.options.mutations / len(self._free))
            changing = {self.below(len(self._free)), *np.flatnonzero(self.rng.random(len(self._free)) < chance)}
            for number in sorted(changing):
                decision = self._free[number]
                others = [choice for choice in decision.choices if choice != values[decision.name]]
                values[decision.name] = others[self.below(len(others))]
        return self.space.candidate(values)

    def _choose_parent(self) -> Candidate:
        sample = [self._population[self.below(len(self._population))] for _ in range(self.options.sample)]
        feasible = [result for result in sample if result.feasible]
        if not feasible:
            return min(sample, key=lambda result: sum(result.violations)).candidate
        shares = shares_of_range([result.gains for result in feasible if result.gains is not None])
        weights = self.rng.dirichlet(np.ones(shares.shape[1]))
        return feasible[int((shares @ weights).argmax())].candidate
