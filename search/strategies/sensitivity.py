"""The knapsack: what each value loses against what it saves, solved exactly for many budgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from search.options import StrategyOptions
from search.space.candidate import Candidate, Space
from search.strategies.additive import fit_losses, from_singles
from search.strategies.base import Result, Strategy
from search.strategies.costs import CostModel, CostModels
from search.strategies.knapsack import Choice, least_loss
from search.strategies.observations import Axes, Observations, told
from search.strategies.one_hot import OneHot

Floats = NDArray[np.float64]

_GOLDEN = (5**0.5 - 1) / 2
_REACH = 0.25  # of the range of costs: candidates farther from a budget count less for it
_LAZY = 2  # answers that are cut off one by one, before all that is known is
_TRIES = 8  # answers of the solver that turn out to be known candidates, or draws, before something else is tried


class SensitivityOptions(StrategyOptions):
    """``batch`` candidates are asked at once, after which the models are fitted anew; ``singles`` candidates at most
    differ from the baseline in one decision."""

    batch: int = Field(8, ge=1)
    singles: int = Field(24, ge=0)

    @property
    def screens(self) -> bool:
        """See :attr:`StrategyOptions.screens`."""
        return True


@dataclass(frozen=True)
class _Sweep:
    """The budgets of a cost that are worth asking for."""

    low: float
    high: float

    def budget(self, share: float) -> float:
        """From the cheapest (0) to the dearest (1), by equal ratios where all are positive."""
        if self.low > 0:
            return float(self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)


class Sensitivity(Strategy):
    """The uniform assignments, then one change at a time, then knapsacks.

    One change at a time tells what each value loses; the layer tables say what it saves, or, where there are none, the
    same candidates do. Both are taken to add up, and a 0-1 programme finds the candidate of least loss for budgets
    between the cheapest and the baseline, as HAWQ-V3 (Yao et al., ICML 2021) does for bits. Told results move both
    models, most for budgets near their own cost. Every proposal is new: what is known is cut off, so that the next best
    follows. The seed places the budgets.
    """

    Options = SensitivityOptions
    options: SensitivityOptions

    def __init__(self, space: Space, objectives: int, constraints: int, seed: int, options: StrategyOptions) -> None:
        super().__init__(space, objectives, constraints, seed, options)
        self._grid = OneHot(space)
        self._offset = float(self.rng.random())
        self._proposed = 0
        self._known: dict[str, tuple[int, ...]] = {}
        self._told_of = 0
        self._results: list[Result] = []  # less what is missing
        self._rows: list[Floats] = []
        self._figures: Observations | None = None
        self._spent = False  # whether no knapsack is left until something is told

    @property
    def batch(self) -> int:
        """See :attr:`Strategy.batch`."""
        return self.options.batch

    @property
    def learnt(self) -> bool:
        """Whether all uniform assignments and single changes were told."""
        return self._told_of >= len(self._beginning)

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        if len(self._known) < len(self._beginning):
            found = self._beginning[len(self._known)]
        else:
            found = self._proposal() or self._drawn()
        self._known.setdefault(found.digest, self._grid.places(found))
        return found

    def tell(self, results: Sequence[Result]) -> None:
        """See :meth:`Strategy.tell`."""
        self._told_of += len(results)
        there = [result for result in results if not result.missing]
        self._results.extend(there)
        self._rows.extend(self._grid.row(result.candidate) for result in there)
        self._figures = None
        self._spent = False

    @cached_property
    def _axes(self) -> Axes:
        return Axes.of(self.objectives, self.metrics)

    @cached_property
    def _costs(self) -> CostModels:
        return CostModels(self._grid, self.predictor)

    @cached_property
    def _beginning(self) -> list[Candidate]:
        """Made at the first ``ask``, when the predictor is there."""
        singles = self._grid.singles()
        if self.predictor is not None:
            speed = [self.predictor.speedup(one.decisions) for one in singles]
            order = sorted(range(len(singles)), key=lambda n: -(speed[n] or 0.0))
            singles = [singles[number] for number in order]
        uniform = self.space.uniform()
        seen = {candidate.digest for candidate in uniform}
        return uniform + [one for one in singles if one.digest not in seen][: self.options.singles]

    @property
    def _table(self) -> Floats:
        """All told candidates as rows of zeros and ones."""
        return np.array(self._rows, np.float64).reshape(len(self._rows), self._grid.width)

    def _told(self) -> Observations:
        if self._figures is None:
            self._figures = told(self._results, self._axes, self.space.baseline().digest)
        return self._figures

    # Proposals

    def _proposal(self) -> Candidate | None:
        """The next knapsack's answer; None where there is no candidate left that its models allow."""
        if self._spent:
            return None
        number, self._proposed = self._proposed, self._proposed + 1
        axes = len(self._axes.costs) or 1
        share = (self._offset + number // axes * _GOLDEN) % 1.0
        axis = number % axes
        sweep = self._sweep(axis)
        for budget in (*(sweep.budget(one) for one in dict.fromkeys((share, (1 + share) / 2, 1.0))), np.inf):
            found = self._best(axis, sweep, float(budget))
            if found is not None:
                return found
        self._spent = True
        return None

    def _sweep(self, axis: int) -> _Sweep:
        """The whole range, less the half of it beyond the cheapest, or the dearest, feasible candidate where only
        infeasible ones lie there."""
        outlays = self._outlays(axis, np.ones(len(self._results)))
        allowed = self._allowed
        possible = [one for structure, one in outlays.items() if self._possible(structure, allowed)]
        whole = np.array([one.least(allowed) for one in possible])
        figures = self._told()
        paid = figures.costs[:, axis] if figures.costs.shape[1] else np.zeros(0)
        known = paid[np.isfinite(paid)]
        low = max(float(whole.min()), float(known.min(initial=np.inf)) / 2) if len(known) else float(whole.min())
        high = max(low, 1.0)
        good = paid[figures.feasible & np.isfinite(paid)] if len(paid) else paid
        if len(good):
            bad = paid[~figures.feasible & np.isfinite(paid)]
            if bad.min(initial=np.inf) < good.min():
                low = max(low, (low + float(good.min())) / 2)
            if bad.max(initial=-np.inf) > good.max():
                high = (high + float(good.max())) / 2
        return _Sweep(min(low, high), high)

    def _outlays(self, axis: int, weights: Floats) -> dict[tuple[int, ...], CostModel]:
        figures = self._told()
        rows = self._table
        if not self._axes.costs:  # one objective, which is a quality: what the predictor says, or few changes
            return self._costs.outlays(rows[:0], np.zeros(0), np.zeros(0), predicted=True)
        paid = figures.costs[:, axis]
        there = np.isfinite(paid)
        predicted = self._axes.costs[axis] == self._axes.timed
        return self._costs.outlays(rows[there], paid[there], weights[there], predicted=predicted)

    def _best(self, axis: int, sweep: _Sweep, budget: float) -> Candidate | None:
        """The unknown candidate of least loss that is predicted to cost ``budget`` at most."""
        weights = self._weights(axis, budget, sweep.high - sweep.low)
        sensitivities = self._sensitivities(weights)
        outlays = self._outlays(axis, weights)
        solved = (self._solved(structure, outlay, sensitivities, budget) for structure, outlay in outlays.items())
        answers = [answer for answer in solved if answer is not None]
        return min(answers, key=lambda answer: answer[:2])[2] if answers else None

    def _solved(
        self, structure: tuple[int, ...], outlay: CostModel, sensitivities: Floats, budget: float
    ) -> tuple[float, float, Candidate] | None:
        """The least loss in a structure, its cost and who has it; None where nobody is left."""
        grid = self._grid
        allowed = self._allowed
        if not self._possible(structure, allowed):
            return None
        whole = (grid.figures(sensitivities, n) for n in grid.structural)
        fixed = sum(float(figures[place]) for place, figures in zip(structure, whole, strict=True))
        losses = [
            np.where(allowed[n] & kept, grid.figures(sensitivities, n), np.inf)
            for n, kept in zip(grid.layers, grid.kept(structure), strict=True)
        ]
        costs = [grid.figures(outlay.columns, n) for n in grid.layers]
        known: set[Choice] = set()
        for number in range(_TRIES):
            answer = least_loss(losses, costs, budget - outlay.base, known)
            if answer is None:
                break
            candidate = grid.candidate(structure, answer)
            if candidate.digest not in self._known:
                return fixed + _sum(losses, answer), outlay.base + _sum(costs, answer), candidate
            # Most of what is known is in nobody's way: it is cut off when a few answers were.
            known |= {answer, *(self._answers(structure) if number == _LAZY else ())}
        return None

    def _possible(self, structure: tuple[int, ...], allowed: Sequence[NDArray[np.bool_]]) -> bool:
        return all(allowed[n][place] for n, place in zip(self._grid.structural, structure, strict=True))

    def _answers(self, structure: tuple[int, ...]) -> Iterator[Choice]:
        """What is known of a structure, as the solver would answer it."""
        for places in self._known.values():
            if tuple(places[number] for number in self._grid.structural) == structure:
                yield tuple(places[number] for number in self._grid.layers)

    def _weights(self, axis: int, budget: float, reach: float) -> Floats:
        """How much each told candidate counts for a budget."""
        figures = self._told()
        if not self._axes.costs or not np.isfinite(budget) or reach <= 0:
            return np.ones(len(self._results))
        away = (figures.costs[:, axis] - budget) / (_REACH * reach)
        return np.where(np.isfinite(away), 1.0 / (1.0 + np.nan_to_num(away) ** 2), 1.0)

    def _sensitivities(self, weights: Floats) -> Floats:
        """What each column loses; all alike where nothing was told."""
        figures = self._told()
        rows = self._table
        prior = from_singles(rows, figures.losses, self._grid.values)
        if prior is None:
            return np.ones(self._grid.width)
        return fit_losses(rows, figures.losses, prior, weights)

    @property
    def _allowed(self) -> list[NDArray[np.bool_]]:
        """By decision, which choices may work: not those that made a candidate fail in which all else works elsewhere.
        The first always may."""
        grid, figures = self._grid, self._told()
        rows = self._table > 0
        proven = rows[figures.works].any(0) if len(rows) else np.zeros(grid.width, bool)
        unproven = rows & ~proven
        guilty = unproven[~figures.works & (unproven.sum(1) == 1)].any(0) if len(rows) else proven
        parts = np.split(~guilty, grid.starts[1:-1])
        return [np.concatenate([[True], part]) for part in parts]

    def _drawn(self) -> Candidate:
        """An unknown candidate drawn at random; the baseline where there seems to be none."""
        for _ in range(_TRIES * _TRIES):
            values = {d.name: d.choices[int(self.rng.integers(len(d.choices)))] for d in self.space.decisions}
            found = self.space.candidate(values)
            if found.digest not in self._known:
                return found
        return self.space.baseline()


def _sum(figures: Sequence[Floats], answer: Choice) -> float:
    return sum(float(one[place]) for one, place in zip(figures, answer, strict=True))
