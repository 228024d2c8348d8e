"""NSGA-II (Deb et al., 2002) by Optuna's sampler, with every uniform assignment in the first block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from search.bounds import MOST_AT_ONCE
from search.options import StrategyOptions
from search.space.candidate import Candidate
from search.strategies.base import Result, Strategy, StrategyContext
from search.strategies.sensitivity import Sensitivity

if TYPE_CHECKING:
    import optuna  # at run time imported on use: every process of a job imports the registry, only one proposes


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
        import optuna

        super().__init__(context, options)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.NSGAIISampler(
            population_size=self.options.population,
            mutation_prob=self.options.mutation,
            crossover_prob=self.options.crossover,
            seed=context.seed,
        )
        self._study = optuna.create_study(directions=["maximize"] * len(context.objectives), sampler=sampler)
        self._distributions = {
            decision.name: optuna.distributions.CategoricalDistribution(decision.choices)
            for decision in self.space.decisions
        }
        self._warm: Sensitivity | None = None
        if self.options.warm_start:
            self._warm = Sensitivity(context, Sensitivity.Options())
        else:
            for candidate in self.space.uniform():
                self._study.enqueue_trial(candidate.decisions)
        self._open_trials: list[optuna.trial.Trial] = []

    @property
    def batch(self) -> int:
        """Size of a generation."""
        return self.options.population

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        if self._warm is not None:
            self._study.enqueue_trial(self._warm.ask().decisions)
        trial = self._study.ask(self._distributions)
        self._open_trials.append(trial)
        return self.space.candidate(trial.params)

    def tell(self, results: Sequence[Result]) -> None:
        """See :meth:`Strategy.tell`."""
        from optuna.trial import TrialState

        trials, self._open_trials = self._open_trials, []
        if self._warm is not None:
            if self._warm.is_ready:
                self._warm = None
            else:
                self._warm.tell(results)
        for trial, result in zip(trials, results, strict=True):
            if result.missing:
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            for number, violation in enumerate(result.violations):
                trial.set_constraint(str(number), violation)
            if result.gains is None:
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._study.tell(trial, list(result.gains))
