"""Sensitivity: loss against savings of each value, solved exactly as knapsacks of many budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from search.bounds import MOST, MOST_AT_ONCE
from search.options import StrategyOptions
from search.space.candidate import Candidate
from search.strategies.additive import fit_losses, from_singles
from search.strategies.base import Result, Strategy, StrategyContext
from search.strategies.costs import CostModel, CostModels
from search.strategies.knapsack import Choice, least_loss
from search.strategies.observations import Axes, Observations, observe
from search.strategies.one_hot import OneHot

Floats = NDArray[np.float64]

_GOLDEN = (5**0.5 - 1) / 2
_REACH = 0.25  # share of the range of costs: candidates farther from a budget weigh less for it
_LAZY = 2  # repeated solutions that are excluded one by one, before all proposals are
_TRIES = 8  # repeated solutions or draws before giving up


class SensitivityOptions(StrategyOptions):
    """Options of the strategy ``sensitivity``."""

    batch: int = Field(8, ge=1, le=MOST_AT_ONCE)
    """Candidates in a block, after which the models are fitted again."""
    singles: int = Field(24, ge=0, le=MOST)
    """Most candidates that differ from the baseline in one decision."""

    @property
    def screens(self) -> bool:
        """See :attr:`StrategyOptions.screens`."""
        return True


@dataclass(frozen=True)
class _Sweep:
    """Range of useful budgets of a cost."""

    low: float
    high: float

    def budget(self, share: float) -> float:
        """Interpolates from the cheapest (0) to the most expensive (1), geometrically if all are positive."""
        if self.low > 0:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)


class Sensitivity(Strategy):
    """Proposes the uniform assignments, then single changes, then knapsacks.

    Single changes show the loss of each value; the layer tables show its savings, or without tables the same
    candidates do. Assuming that both add up, a 0-1 program finds the candidate of least loss for budgets between the
    cheapest and the baseline, as HAWQ-V3 (Yao et al., ICML 2021) does for bits. Results update both models, most for
    budgets near their own cost. Every proposal is new: earlier ones are excluded, so that the next best follows. The
    seed places the budgets.
    """

    Options = SensitivityOptions
    options: SensitivityOptions

    def __init__(self, context: StrategyContext, options: StrategyOptions) -> None:
        super().__init__(context, options)
        self._encoding = OneHot(self.space)
        self._offset = float(self.rng.random())
        self._knapsacks = 0
        self._proposals: dict[str, tuple[int, ...]] = {}
        """Places of all proposed candidates, by digest."""
        self._result_count = 0
        self._results: list[Result] = []
        """All results except missing ones."""
        self._rows: list[Floats] = []
        self._observed: Observations | None = None
        self._is_exhausted = False
        """Whether there are no knapsacks left until the next results."""

    @property
    def batch(self) -> int:
        """See :attr:`Strategy.batch`."""
        return self.options.batch

    @property
    def is_ready(self) -> bool:
        """Whether the results of all uniform assignments and single changes are there."""
        return self._result_count >= len(self._initial)

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        if len(self._proposals) < len(self._initial):
            candidate = self._initial[len(self._proposals)]
        else:
            candidate = self._propose() or self._draw()
        self._proposals.setdefault(candidate.digest, self._encoding.places(candidate))
        return candidate

    def tell(self, results: Sequence[Result]) -> None:
        """See :meth:`Strategy.tell`."""
        self._result_count += len(results)
        present = [result for result in results if not result.missing]
        self._results.extend(present)
        self._rows.extend(self._encoding.row(result.candidate) for result in present)
        self._observed = None
        self._is_exhausted = False

    @cached_property
    def _axes(self) -> Axes:
        return Axes.of(self.context.objectives)

    @cached_property
    def _costs(self) -> CostModels:
        return CostModels(self._encoding, self.context.predictor)

    @cached_property
    def _initial(self) -> list[Candidate]:
        """Uniform assignments and single changes, those first that are predicted to be the fastest."""
        singles, predictor = self._encoding.singles(), self.context.predictor
        if predictor is not None:
            speed = [predictor.speedup(candidate.decisions) for candidate in singles]
            order = sorted(range(len(singles)), key=lambda n: -(speed[n] or 0.0))
            singles = [singles[number] for number in order]
        uniform = self.space.uniform()
        digests = {candidate.digest for candidate in uniform}
        return uniform + [candidate for candidate in singles if candidate.digest not in digests][: self.options.singles]

    @property
    def _table(self) -> Floats:
        """All observed candidates as rows of zeros and ones."""
        return np.array(self._rows, np.float64).reshape(len(self._rows), self._encoding.width)

    def _observations(self) -> Observations:
        if self._observed is None:
            self._observed = observe(self._results, self._axes, self.space.baseline().digest)
        return self._observed

    # Proposals

    def _propose(self) -> Candidate | None:
        """Solves the next knapsack; None if the models allow no further candidate."""
        if self._is_exhausted:
            return None
        number, self._knapsacks = self._knapsacks, self._knapsacks + 1
        axes = len(self._axes.costs) or 1
        share = (self._offset + number // axes * _GOLDEN) % 1.0
        axis = number % axes
        sweep = self._sweep(axis)
        for budget in (*(sweep.budget(at) for at in dict.fromkeys((share, (1 + share) / 2, 1.0))), np.inf):
            candidate = self._best(axis, sweep, float(budget))
            if candidate is not None:
                return candidate
        self._is_exhausted = True
        return None

    def _sweep(self, axis: int) -> _Sweep:
        """Computes the range of budgets: from the cheapest candidate to the baseline. If all candidates beyond the
        cheapest, or the most expensive, feasible one are infeasible, drops half of the range beyond it."""
        models = self._cost_models(axis, np.ones(len(self._results)))
        allowed = self._possible_choices
        possible = [model for structure, model in models.items() if self._is_possible(structure, allowed)]
        least = min(model.least(allowed) for model in possible)
        observations = self._observations()
        costs = observations.costs[:, axis] if observations.costs.shape[1] else np.zeros(0)
        finite = costs[np.isfinite(costs)]
        low = max(least, float(finite.min(initial=np.inf)) / 2) if len(finite) else least
        high = max(low, 1.0)
        good = costs[observations.feasible & np.isfinite(costs)] if len(costs) else costs
        if len(good):
            bad = costs[~observations.feasible & np.isfinite(costs)]
            if bad.min(initial=np.inf) < good.min():
                low = max(low, (low + float(good.min())) / 2)
            if bad.max(initial=-np.inf) > good.max():
                high = (high + float(good.max())) / 2
        return _Sweep(min(low, high), high)

    def _cost_models(self, axis: int, weights: Floats) -> dict[tuple[int, ...], CostModel]:
        observations = self._observations()
        rows = self._table
        if not self._axes.costs:  # one objective, a quality: use the predictor's cost, or else the number of changes
            return self._costs.fit(rows[:0], np.zeros(0), np.zeros(0), predicted=True)
        costs = observations.costs[:, axis]
        finite = np.isfinite(costs)
        predicted = self._axes.costs[axis] == self._axes.timed
        return self._costs.fit(rows[finite], costs[finite], weights[finite], predicted=predicted)

    def _best(self, axis: int, sweep: _Sweep, budget: float) -> Candidate | None:
        """Finds the new candidate of least loss with a predicted cost of at most ``budget``."""
        weights = self._weights(axis, budget, sweep.high - sweep.low)
        sensitivities = self._sensitivities(weights)
        models = self._cost_models(axis, weights)
        solutions = [self._solve(structure, model, sensitivities, budget) for structure, model in models.items()]
        candidates = [solution for solution in solutions if solution is not None]
        return min(candidates, key=lambda solution: solution[:2])[2] if candidates else None

    def _solve(
        self, structure: tuple[int, ...], model: CostModel, sensitivities: Floats, budget: float
    ) -> tuple[float, float, Candidate] | None:
        """Finds the new candidate of least loss in a structure. Returns its loss, its cost and itself; None if there is
        none."""
        encoding = self._encoding
        allowed = self._possible_choices
        if not self._is_possible(structure, allowed):
            return None
        whole = (encoding.figures(sensitivities, n) for n in encoding.structural)
        fixed = sum(float(figures[place]) for place, figures in zip(structure, whole, strict=True))
        losses = [
            np.where(allowed[n] & available, encoding.figures(sensitivities, n), np.inf)
            for n, available in zip(encoding.layers, encoding.available(structure), strict=True)
        ]
        costs = [encoding.figures(model.columns, n) for n in encoding.layers]
        excluded: set[Choice] = set()
        for number in range(_TRIES):
            choice = least_loss(losses, costs, budget - model.base, excluded)
            if choice is None:
                break
            candidate = encoding.candidate(structure, choice)
            if candidate.digest not in self._proposals:
                return fixed + _sum(losses, choice), model.base + _sum(costs, choice), candidate
            # Few proposals are near this budget: all of them are excluded only after some repeated solutions.
            excluded |= {choice, *(self._proposals_in(structure) if number == _LAZY else ())}
        return None

    def _is_possible(self, structure: tuple[int, ...], allowed: Sequence[NDArray[np.bool_]]) -> bool:
        return all(allowed[n][place] for n, place in zip(self._encoding.structural, structure, strict=True))

    def _proposals_in(self, structure: tuple[int, ...]) -> Iterator[Choice]:
        """Iterates over the proposals in a structure, as solutions of the knapsack."""
        for places in self._proposals.values():
            if tuple(places[number] for number in self._encoding.structural) == structure:
                yield tuple(places[number] for number in self._encoding.layers)

    def _weights(self, axis: int, budget: float, reach: float) -> Floats:
        """Computes the weight of each observed candidate for a budget."""
        observations = self._observations()
        if not self._axes.costs or not np.isfinite(budget) or reach <= 0:
            return np.ones(len(self._results))
        away = (observations.costs[:, axis] - budget) / (_REACH * reach)
        return np.where(np.isfinite(away), 1.0 / (1.0 + np.nan_to_num(away) ** 2), 1.0)

    def _sensitivities(self, weights: Floats) -> Floats:
        """Estimates the loss of each column; all equal without results."""
        observations = self._observations()
        rows = self._table
        prior = from_singles(rows, observations.losses, self._encoding.values)
        if prior is None:
            return np.ones(self._encoding.width)
        return fit_losses(rows, observations.losses, prior, weights)

    @property
    def _possible_choices(self) -> list[NDArray[np.bool_]]:
        """By decision, marks the choices that may work. Rules out a choice if a candidate failed whose other choices
        all work elsewhere; never the first choice."""
        encoding, observations = self._encoding, self._observations()
        rows = self._table > 0
        proven = rows[observations.works].any(0) if len(rows) else np.zeros(encoding.width, bool)
        unproven = rows & ~proven
        guilty = unproven[~observations.works & (unproven.sum(1) == 1)].any(0) if len(rows) else proven
        parts = np.split(~guilty, encoding.starts[1:-1])
        return [np.concatenate([[True], part]) for part in parts]

    def _draw(self) -> Candidate:
        """Draws a new candidate at random; returns the baseline if several draws find none."""
        for _ in range(_TRIES * _TRIES):
            values = {d.name: d.choices[int(self.rng.integers(len(d.choices)))] for d in self.space.decisions}
            candidate = self.space.candidate(values)
            if candidate.digest not in self._proposals:
                return candidate
        return self.space.baseline()


def _sum(figures: Sequence[Floats], choice: Choice) -> float:
    return sum(float(item[place]) for item, place in zip(figures, choice, strict=True))
