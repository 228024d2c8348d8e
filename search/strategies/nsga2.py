"""NSGA-II (Deb et al., 2002) by Optuna's sampler, with every uniform assignment in the first block."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from search.bounds import MOST_AT_ONCE
from search.options import StrategyOptions
from search.space.candidate import Candidate
from search.strategies.base import Result, Strategy, StrategyContext
from search.strategies.sensitivity import Sensitivity
from search.strategies.study import Study


class Nsga2Options(StrategyOptions):
    """Options of the strategy ``nsga2``."""

    population: int = Field(16, ge=2, le=MOST_AT_ONCE)
    """Candidates in a generation."""
    mutation: float | None = Field(None, ge=0, le=1)
    """Probability that a child's value mutates; None: one value per child on average."""
    crossover: float = Field(0.9, ge=0, le=1)
    warm_start: bool = False
    """Whether the strategy ``sensitivity`` proposes the first generations, up to the first one of knapsacks alone."""

    @property
    def screens(self) -> bool:
        """See :attr:`StrategyOptions.screens`."""
        return self.warm_start


class Nsga2(Strategy):
    """Proposes the uniform assignments, then generations of NSGA-II with decisions as categories.

    A random start ended below the best uniform assignment on real networks (25 to 40 decisions, 60 trials), hence the
    seeds. Infeasible candidates rank by the sum of their violations, as in Deb et al. Failed and missing candidates
    breed no children.
    """

    Options = Nsga2Options
    options: Nsga2Options

    def __init__(self, context: StrategyContext, options: StrategyOptions) -> None:
        import optuna  # on use: every process of a job imports the registry, only one proposes

        super().__init__(context, options)
        self._study = Study(
            context,
            optuna.samplers.NSGAIISampler(
                population_size=self.options.population,
                mutation_prob=self.options.mutation,
                crossover_prob=self.options.crossover,
                seed=context.seed,
            ),
        )
        self._warm: Sensitivity | None = None
        if self.options.warm_start:
            self._warm = Sensitivity(context, Sensitivity.Options())
        else:
            for candidate in self.space.uniform():
                self._study.enqueue(candidate)

    @property
    def batch(self) -> int:
        """Size of a generation."""
        return self.options.population

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        if self._warm is not None:
            self._study.enqueue(self._warm.ask())
        return self._study.ask()

    def tell(self, results: Sequence[Result]) -> None:
        """See :meth:`Strategy.tell`."""
        if self._warm is not None:
            if self._warm.is_ready:
                self._warm = None
            else:
                self._warm.tell(results)
        self._study.tell(results)
