"""Bayesian optimisation by Optuna's samplers: tree-structured Parzen estimators, or Gaussian processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from search.bounds import MOST, MOST_AT_ONCE
from search.options import StrategyOptions
from search.space.candidate import Candidate
from search.strategies.base import Result, Strategy, StrategyContext
from search.strategies.study import Study


class BayesianOptions(StrategyOptions):
    """Options of the strategy ``bayesian``."""

    model: Literal["tpe", "gp"] = "tpe"
    """Model of the objectives: ``tpe`` compares the densities of good and of other candidates; ``gp`` is a Gaussian
    process, which needs seconds for a proposal and fewer candidates."""
    batch: int = Field(8, ge=1, le=MOST_AT_ONCE)
    """Candidates in a block; those of one block know nothing of each other's results."""
    random: int = Field(16, ge=1, le=MOST)
    """Candidates before the model proposes any: the uniform assignments, then random ones."""


class Bayesian(Strategy):
    """Proposes the uniform assignments, then what a model of the objectives expects to improve the front most.

    The model is a multi-objective tree-structured Parzen estimator (Ozaki et al., JAIR 2022), or a Gaussian process
    with the expected improvement of the hypervolume. Values that are numbers, such as shares of channels, are steps on
    a scale, others are categories. Cao et al. (ESNAC, ICLR 2019) report that Bayesian optimisation finds better student
    networks than the reinforcement learning of N2N.
    """

    Options = BayesianOptions
    options: BayesianOptions

    def __init__(self, context: StrategyContext, options: StrategyOptions) -> None:
        import optuna  # on use: every process of a job imports the registry, only one proposes

        super().__init__(context, options)
        seed, random = context.seed, self.options.random
        if self.options.model == "tpe":
            sampler: optuna.samplers.BaseSampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=random)
        else:
            sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=random)
        self._study = Study(context, sampler, ordered=True)
        for candidate in self.space.uniform():
            self._study.enqueue(candidate)

    @property
    def batch(self) -> int:
        """See :attr:`Strategy.batch`."""
        return self.options.batch

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        return self._study.ask()

    def tell(self, results: Sequence[Result]) -> None:
        """See :meth:`Strategy.tell`."""
        self._study.tell(results)
