"""Expected costs of candidates: one additive model per structure."""

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
"""Random mixtures per column for which the predictor is queried."""

_SLACK = 1e-3  # regularisation towards single changes when fitting to predicted mixtures


@dataclass(frozen=True)
class CostModel:
    """Additive model of the cost of a structure's candidates, as shares of the baseline's cost."""

    encoding: OneHot
    base: float
    """Cost of the structure alone."""
    columns: Floats
    """Contribution of each column of the encoding."""

    def least(self, allowed: Sequence[NDArray[np.bool_]]) -> float:
        """Computes the cost of the cheapest candidate with allowed choices."""
        parts = (self.encoding.figures(self.columns, n)[allowed[n]].min() for n in self.encoding.layers)
        return self.base + sum(map(float, parts))


class CostModels:
    """Fits a cost model to each structure, from predictions if there are any and from observed costs."""

    def __init__(self, encoding: OneHot, predictor: LatencyPredictor | None) -> None:
        self._encoding, self._predictor = encoding, predictor
        self._predicted: dict[Structure, CostModel | None] = {}

    def fit(self, rows: Floats, costs: Floats, weights: Floats, *, predicted: bool) -> dict[Structure, CostModel]:
        """Fits one model per structure to observed candidates: ``rows`` (results, columns), ``costs`` and ``weights``
        (results,). ``predicted`` says whether the predictor predicts this cost."""
        encoding = self._encoding
        layers = self._layer_columns
        singles = from_singles(rows, costs - 1.0, encoding.values)
        if singles is None and not len(rows):
            singles = np.full(encoding.width, -1.0 / max(1, len(encoding.layers)))
        usual = np.zeros(encoding.width) if singles is None else singles
        models = {}
        for structure in encoding.structures():
            members = self._members(rows, structure)
            prior = self._prediction(structure) if predicted else None
            if prior is None:
                base = self._base(structure, rows[members], costs[members], usual)
                prior = CostModel(encoding, base, np.where(layers, usual * max(base, 0.0), 0.0))
            wide = np.hstack([np.ones((int(members.sum()), 1)), rows[members] * layers])
            fit = fit_costs(wide, costs[members], np.concatenate([[prior.base], prior.columns]), weights[members])
            models[structure] = CostModel(encoding, float(fit[0]), fit[1:])
        return models

    @property
    def _layer_columns(self) -> Floats:
        layers = np.zeros(self._encoding.width)
        for number in self._encoding.layers:
            layers[self._encoding.starts[number] : self._encoding.starts[number + 1]] = 1.0
        return layers

    def _members(self, rows: Floats, structure: Structure) -> NDArray[np.bool_]:
        """Marks the rows of a structure."""
        members = np.ones(len(rows), bool)
        for number, place in zip(self._encoding.structural, structure, strict=True):
            columns = rows[:, self._encoding.starts[number] : self._encoding.starts[number + 1]]
            members &= columns[:, place - 1] == 1.0 if place else ~columns.any(1)
        return members

    def _base(self, structure: Structure, rows: Floats, costs: Floats, usual: Floats) -> float:
        """Returns the cost of a structure alone: as observed, else the product of its single changes."""
        plain = np.flatnonzero(~(rows * self._layer_columns).any(1))
        if len(plain):
            return float(costs[plain[0]])
        base = 1.0
        for number, place in zip(self._encoding.structural, structure, strict=True):
            base *= max(0.0, 1.0 + float(self._encoding.figures(usual, number)[place]))
        return base

    def _prediction(self, structure: Structure) -> CostModel | None:
        if structure not in self._predicted:
            self._predicted[structure] = self._fit_predictions(structure)
        return self._predicted[structure]

    def _fit_predictions(self, structure: Structure) -> CostModel | None:
        """Fits a model to the predictions of single changes and of mixtures. Single changes alone are not enough: they
        do not show that two changed neighbours need no conversion between them."""
        encoding = self._encoding
        if self._predictor is None:
            return None
        plain: Structure = (0,) * len(encoding.layers)
        base = self._time(structure, plain)
        if base is None:
            return None
        columns = np.zeros(encoding.width)
        sizes = [len(encoding.space.decisions[number].choices) for number in encoding.layers]
        for position, number in enumerate(encoding.layers):
            for place in range(1, sizes[position]):
                changed = self._time(structure, (*plain[:position], place, *plain[position + 1 :]))
                columns[encoding.starts[number] + place - 1] = 0.0 if changed is None else changed - base
        rng = np.random.default_rng(0)
        rows, times = [], []
        for _ in range(MIXTURES * encoding.width):
            layers = tuple(int(rng.integers(size)) for size in sizes)
            time = self._time(structure, layers)
            if time is not None:
                rows.append(encoding.row(encoding.candidate(structure, layers)) * self._layer_columns)
                times.append(time)
        if not rows:
            return CostModel(encoding, base, columns)
        wide = np.hstack([np.ones((len(rows), 1)), np.array(rows)])
        prior = np.concatenate([[base], columns])
        fit = fit_costs(wide, np.array(times), prior, np.ones(len(rows)), _SLACK * len(rows))
        return CostModel(encoding, float(fit[0]), fit[1:])

    def _time(self, structure: Structure, layers: tuple[int, ...]) -> float | None:
        speedup = None if self._predictor is None else self._predictor.speedup(
            self._encoding.candidate(structure, layers).decisions
        )  # fmt: skip
        return None if not speedup or speedup <= 0 else 1.0 / speedup
