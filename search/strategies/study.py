"""A study of Optuna (Akiba et al., KDD 2019) over the decisions of a space."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from search.space.candidate import Candidate, Decision
from search.strategies.base import Result, StrategyContext

if TYPE_CHECKING:
    import optuna  # at run time imported on use: every process of a job imports the registry, only one proposes


class Study:
    """Proposes candidates by a sampler of Optuna and tells it their results, of which larger gains are better.

    Decisions are categories. If ``ordered``, those whose values are numbers, such as the share of channels that stay,
    are steps on a scale. Failed and missing candidates are told as failures.
    """

    def __init__(
        self, context: StrategyContext, sampler: optuna.samplers.BaseSampler, *, ordered: bool = False
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = context.space
        self._study = optuna.create_study(directions=["maximize"] * len(context.objectives), sampler=sampler)
        self._ordered = {d.name for d in self._space.decisions if ordered and _is_scale(d)}
        self._distributions = {
            decision.name: optuna.distributions.IntDistribution(0, len(decision.choices) - 1)
            if decision.name in self._ordered
            else optuna.distributions.CategoricalDistribution(decision.choices)
            for decision in self._space.decisions
        }
        self._open_trials: list[optuna.trial.Trial] = []

    def enqueue(self, candidate: Candidate) -> None:
        """Puts a candidate before those that the sampler proposes."""
        decisions = self._space.by_name
        self._study.enqueue_trial(
            {
                name: decisions[name].choices.index(value) if name in self._ordered else value
                for name, value in candidate.decisions.items()
            }
        )

    def ask(self) -> Candidate:
        """Returns the next candidate."""
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            # A Gaussian process clips the infinite violations of candidates without a metric, and says so.
            warnings.filterwarnings("ignore", "Clip non-finite values", UserWarning)
            trial = self._study.ask(self._distributions)
        self._open_trials.append(trial)
        return self._space.candidate({name: self._value(name, chosen) for name, chosen in trial.params.items()})

    def _value(self, name: str, chosen: Any) -> str:
        value: str = self._space.by_name[name].choices[chosen] if name in self._ordered else chosen
        return value

    def tell(self, results: Sequence[Result]) -> None:
        """Receives the results of all candidates since the last call, in the order asked."""
        from optuna.trial import TrialState

        trials, self._open_trials = self._open_trials, []
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


def _is_scale(decision: Decision) -> bool:
    """Returns whether the values are at least three numbers in order."""
    try:
        numbers = [float(choice) for choice in decision.choices]
    except ValueError:
        return False
    return len(numbers) > 2 and numbers in (sorted(numbers), sorted(numbers, reverse=True))
