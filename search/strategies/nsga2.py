"""NSGA-II (Deb et al., 2002) through Optuna's sampler, its first block seeded with every uniform assignment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from search.candidate import Candidate, Space
from search.strategies.base import Result, Strategy, StrategyOptions

if TYPE_CHECKING:
    import optuna  # else where it is used: every process of a job reads the registry, one proposes candidates


class Nsga2Options(StrategyOptions):
    """``population`` candidates make a generation and are asked at once; each value of a child mutates with
    ``mutation`` probability (None: one value a child on average)."""

    population: int = Field(16, ge=2)
    mutation: float | None = Field(None, ge=0, le=1)
    crossover: float = Field(0.9, ge=0, le=1)


class Nsga2(Strategy):
    """The uniform assignments, then generations of NSGA-II over the decisions as categories.

    A naive start ended below the best uniform assignment on real networks (25 to 40 decisions, 60 trials), hence the
    seeds. Broken constraints rank by their sum, as Deb has it; failures are told as such and breed no children.
    """

    Options = Nsga2Options
    options: Nsga2Options

    def __init__(self, space: Space, objectives: int, constraints: int, seed: int, options: StrategyOptions) -> None:
        import optuna

        super().__init__(space, objectives, constraints, seed, options)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.NSGAIISampler(
            population_size=self.options.population,
            mutation_prob=self.options.mutation,
            crossover_prob=self.options.crossover,
            seed=seed,
        )
        self._study = optuna.create_study(directions=["maximize"] * objectives, sampler=sampler)
        self._distributions = {d.name: optuna.distributions.CategoricalDistribution(d.choices) for d in space.decisions}
        for candidate in space.uniform():
            self._study.enqueue_trial(candidate.decisions)
        self._asked: list[optuna.trial.Trial] = []

    @property
    def batch(self) -> int:
        """One generation."""
        return self.options.population

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        trial = self._study.ask(self._distributions)
        self._asked.append(trial)
        return self.space.candidate(trial.params)

    def tell(self, results: Sequence[Result]) -> None:
        """See :meth:`Strategy.tell`."""
        from optuna.trial import TrialState

        asked, self._asked = self._asked, []
        for trial, result in zip(asked, results, strict=True):
            for number, violation in enumerate(result.violations):
                trial.set_constraint(str(number), violation)
            if result.gains is None:
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._study.tell(trial, list(result.gains))
