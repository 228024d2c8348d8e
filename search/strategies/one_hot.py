"""One-hot encoding of a space, to which additive models are fitted."""

from __future__ import annotations

import itertools
from math import prod

import numpy as np
from numpy.typing import NDArray

from search.space.candidate import Candidate, Space

Floats = NDArray[np.float64]

MOST_STRUCTURES = 12
"""Largest number of structures with a model of their own."""


class OneHot:
    """One-hot encoding of candidates: one column for each value of each decision except its first.

    Decisions about the whole model and about devices form its *structure*: the savings
    of a layer's value depend on them, so that each structure gets a model of its own. All other decisions are
    ``layers``.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._places = [{value: place for place, value in enumerate(d.choices)} for d in space.decisions]
        widths = [len(decision.choices) - 1 for decision in space.decisions]
        self.starts = [0, *itertools.accumulate(widths)]
        """Each decision's first column, and the number of columns."""
        self.values = [value for decision in space.decisions for value in decision.choices[1:]]
        """The value of each column."""
        self._available: dict[tuple[int, ...], list[NDArray[np.bool_]]] = {}
        self.structural = self._structural()
        """Numbers of the decisions that form the structure."""
        self.layers = [number for number in range(len(widths)) if number not in self.structural]
        """Numbers of all other decisions."""

    def _structural(self) -> list[int]:
        decisions = self.space.decisions
        whole = [number for number, decision in enumerate(decisions) if decision.scope in ("model", "device")]
        structural: list[int] = []
        for number in whole:
            if prod(len(decisions[n].choices) for n in [*structural, number]) <= MOST_STRUCTURES:
                structural.append(number)
        return structural

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.starts[-1]

    def places(self, candidate: Candidate) -> tuple[int, ...]:
        """Returns the place of each decision's value among its choices."""
        return tuple(self._places[number][value] for number, (_, value) in enumerate(candidate.values))

    def row(self, candidate: Candidate) -> Floats:
        """Encodes a candidate as zeros and ones, one per column."""
        row = np.zeros(self.width)
        for start, place in zip(self.starts, self.places(candidate), strict=False):
            if place:
                row[start + place - 1] = 1.0
        return row

    def figures(self, columns: Floats, decision: int) -> Floats:
        """Returns the figures of a decision's choices; the first choice's is 0."""
        return np.concatenate([[0.0], columns[self.starts[decision] : self.starts[decision + 1]]])

    def structure(self, candidate: Candidate) -> tuple[int, ...]:
        """Returns the structure of a candidate: the places of the structural decisions' values."""
        places = self.places(candidate)
        return tuple(places[number] for number in self.structural)

    def structures(self) -> list[tuple[int, ...]]:
        """Lists all structures, the baseline's first."""
        return list(itertools.product(*(range(len(self.space.decisions[n].choices)) for n in self.structural)))

    def candidate(self, structure: tuple[int, ...], layers: tuple[int, ...]) -> Candidate:
        """Makes the candidate of a structure with the given places of the layers' values."""
        places = dict(zip([*self.structural, *self.layers], [*structure, *layers], strict=True))
        decisions = self.space.decisions
        return self.space.candidate({d.name: d.choices[places[number]] for number, d in enumerate(decisions)})

    def available(self, structure: tuple[int, ...]) -> list[NDArray[np.bool_]]:
        """Marks by layer the choices that are available in a structure; the others are replaced there."""
        if structure not in self._available:
            positions = range(len(self.layers))
            self._available[structure] = [self._available_choices(structure, position) for position in positions]
        return self._available[structure]

    def _available_choices(self, structure: tuple[int, ...], position: int) -> NDArray[np.bool_]:
        decision = self.layers[position]
        plain = [0] * len(self.layers)
        available = []
        for place in range(len(self.space.decisions[decision].choices)):
            layers = (*plain[:position], place, *plain[position + 1 :])
            available.append(self.places(self.candidate(structure, layers))[decision] == place)
        return np.array(available)

    def singles(self) -> list[Candidate]:
        """Lists the candidates that differ from the baseline in one decision: first the second choice of every
        decision, then the third, and so on."""
        baseline = self.space.baseline()
        pairs = [(place, number) for number, d in enumerate(self.space.decisions) for place in range(1, len(d.choices))]
        changed = (self.space.decisions[number] for _, number in sorted(pairs))
        candidates = (
            self.space.candidate(baseline.decisions | {decision.name: decision.choices[place]})
            for (place, _), decision in zip(sorted(pairs), changed, strict=True)
        )
        unique = {candidate.digest: candidate for candidate in candidates}
        unique.pop(baseline.digest, None)
        return list(unique.values())
