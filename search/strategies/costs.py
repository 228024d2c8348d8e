"""What a candidate is expected to cost: additive, one model a structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.strategies.additive import fit_costs, from_singles
from search.strategies.base import LatencyPredictor
from search.strategies.one_hot import OneHot

Floats = NDArray[np.float64]
Structure = tuple[int, ...]

MIXTURES = 4
"""Random mixtures a column that the predictor is asked about."""

_SLACK = 1e-3  # how loosely figures are held to one change at a time where mixtures are predicted


@dataclass(frozen=True)
class CostModel:
    """The costs of a structure as shares of the baseline's: ``base`` of the structure alone, and what each of the
    grid's ``columns`` adds."""

    grid: OneHot
    base: float
    columns: Floats

    def least(self, allowed: Sequence[NDArray[np.bool_]]) -> float:
        """The cost of the cheapest candidate with allowed choices."""
        parts = (self.grid.figures(self.columns, n)[allowed[n]].min() for n in self.grid.layers)
        return self.base + sum(map(float, parts))


class CostModels:
    """Made of predictions where a predictor has any, of told costs everywhere."""

    def __init__(self, grid: OneHot, predictor: LatencyPredictor | None) -> None:
        self._grid, self._predictor = grid, predictor
        self._predicted: dict[Structure, CostModel | None] = {}

    def outlays(self, rows: Floats, paid: Floats, weights: Floats, *, predicted: bool) -> dict[Structure, CostModel]:
        """One a structure, from told candidates: ``rows`` of shape (told, columns), ``paid`` and ``weights`` of shape
        (told,). ``predicted`` says that the predictor speaks of this cost."""
        grid = self._grid
        layers = self._layer_columns
        alone = from_singles(rows, paid - 1.0, grid.values)
        usual = np.full(grid.width, -1.0 / max(1, len(grid.layers))) if alone is None and not len(rows) else alone
        usual = np.zeros(grid.width) if usual is None else usual
        found = {}
        for structure in grid.structures():
            here = self._in(rows, structure)
            prior = self._prediction(structure) if predicted else None
            if prior is None:
                base = self._base(structure, rows[here], paid[here], usual)
                prior = CostModel(grid, base, np.where(layers, usual * max(base, 0.0), 0.0))
            wide = np.hstack([np.ones((int(here.sum()), 1)), rows[here] * layers])
            moved = fit_costs(wide, paid[here], np.concatenate([[prior.base], prior.columns]), weights[here])
            found[structure] = CostModel(grid, float(moved[0]), moved[1:])
        return found

    @property
    def _layer_columns(self) -> Floats:
        layers = np.zeros(self._grid.width)
        for number in self._grid.layers:
            layers[self._grid.starts[number] : self._grid.starts[number + 1]] = 1.0
        return layers

    def _in(self, rows: Floats, structure: Structure) -> NDArray[np.bool_]:
        """Which rows have a structure."""
        here = np.ones(len(rows), bool)
        for number, place in zip(self._grid.structural, structure, strict=True):
            columns = rows[:, self._grid.starts[number] : self._grid.starts[number + 1]]
            here &= columns[:, place - 1] == 1.0 if place else ~columns.any(1)
        return here

    def _base(self, structure: Structure, rows: Floats, paid: Floats, usual: Floats) -> float:
        """What a structure costs alone: as told, else what its parts do one by one."""
        plain = np.flatnonzero(~(rows * self._layer_columns).any(1))
        if len(plain):
            return float(paid[plain[0]])
        base = 1.0
        for number, place in zip(self._grid.structural, structure, strict=True):
            base *= max(0.0, 1.0 + float(self._grid.figures(usual, number)[place]))
        return base

    def _prediction(self, structure: Structure) -> CostModel | None:
        if structure not in self._predicted:
            self._predicted[structure] = self._asked(structure)
        return self._predicted[structure]

    def _asked(self, structure: Structure) -> CostModel | None:
        """A plane through what the predictor says of single changes and of mixtures: between two changed layers no
        format changes, which single changes alone do not show."""
        grid = self._grid
        if self._predictor is None:
            return None
        plain: Structure = (0,) * len(grid.layers)
        base = self._time(structure, plain)
        if base is None:
            return None
        columns = np.zeros(grid.width)
        sizes = [len(grid.space.decisions[number].choices) for number in grid.layers]
        for position, number in enumerate(grid.layers):
            for place in range(1, sizes[position]):
                changed = self._time(structure, (*plain[:position], place, *plain[position + 1 :]))
                columns[grid.starts[number] + place - 1] = 0.0 if changed is None else changed - base
        rng = np.random.default_rng(0)
        rows, times = [], []
        for _ in range(MIXTURES * grid.width):
            layers = tuple(int(rng.integers(size)) for size in sizes)
            time = self._time(structure, layers)
            if time is not None:
                rows.append(grid.row(grid.candidate(structure, layers)) * self._layer_columns)
                times.append(time)
        if not rows:
            return CostModel(grid, base, columns)
        wide = np.hstack([np.ones((len(rows), 1)), np.array(rows)])
        prior = np.concatenate([[base], columns])
        fitted = fit_costs(wide, np.array(times), prior, np.ones(len(rows)), _SLACK * len(rows))
        return CostModel(grid, float(fitted[0]), fitted[1:])

    def _time(self, structure: Structure, layers: tuple[int, ...]) -> float | None:
        speedup = None if self._predictor is None else self._predictor.speedup(
            self._grid.candidate(structure, layers).decisions
        )  # fmt: skip
        return None if not speedup or speedup <= 0 else 1.0 / speedup
