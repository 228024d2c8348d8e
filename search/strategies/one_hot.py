"""A space as columns of zeros and ones, which additive models are fitted to."""

from __future__ import annotations

import itertools
from collections import Counter
from math import prod

import numpy as np
from numpy.typing import NDArray

from search.space.candidate import RUNTIME, Candidate, Space

Floats = NDArray[np.float64]

MOST_STRUCTURES = 12
"""Structures that are kept apart, at most."""


class OneHot:
    """Every value of a decision but its first is a column.

    Decisions for the whole model (what executes it, or the only one of its technique) make its *structure*: what a
    layer's value saves depends on them, so that each structure has a model of its own. All others are ``layers``.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._places = [{value: place for place, value in enumerate(d.choices)} for d in space.decisions]
        widths = [len(decision.choices) - 1 for decision in space.decisions]
        self.starts = [0, *itertools.accumulate(widths)]
        self.values = [value for decision in space.decisions for value in decision.choices[1:]]
        """The value that each column stands for."""
        self._kept: dict[tuple[int, ...], list[NDArray[np.bool_]]] = {}
        self.structural = self._structural()
        self.layers = [number for number in range(len(widths)) if number not in self.structural]

    def _structural(self) -> list[int]:
        decisions = self.space.decisions
        of = Counter(decision.technique for decision in decisions)
        whole = [n for n, d in enumerate(decisions) if d.name.partition("@")[0] == RUNTIME or of[d.technique] == 1]
        found: list[int] = []
        for number in whole:
            if prod(len(decisions[n].choices) for n in [*found, number]) <= MOST_STRUCTURES:
                found.append(number)
        return found

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.starts[-1]

    def places(self, candidate: Candidate) -> tuple[int, ...]:
        """The place of each decision's value among its choices."""
        return tuple(self._places[number][value] for number, (_, value) in enumerate(candidate.values))

    def row(self, candidate: Candidate) -> Floats:
        """A candidate as zeros and ones, one a column."""
        row = np.zeros(self.width)
        for start, place in zip(self.starts, self.places(candidate), strict=False):
            if place:
                row[start + place - 1] = 1.0
        return row

    def figures(self, columns: Floats, decision: int) -> Floats:
        """The figures of a decision's choices, the first one's being 0."""
        return np.concatenate([[0.0], columns[self.starts[decision] : self.starts[decision + 1]]])

    def structure(self, candidate: Candidate) -> tuple[int, ...]:
        """The structure of a candidate: places of the structural decisions' values."""
        places = self.places(candidate)
        return tuple(places[number] for number in self.structural)

    def structures(self) -> list[tuple[int, ...]]:
        """All structures, the baseline's first."""
        return list(itertools.product(*(range(len(self.space.decisions[n].choices)) for n in self.structural)))

    def candidate(self, structure: tuple[int, ...], layers: tuple[int, ...]) -> Candidate:
        """The candidate of a structure with these places of the layers' values."""
        places = dict(zip([*self.structural, *self.layers], [*structure, *layers], strict=True))
        decisions = self.space.decisions
        return self.space.candidate({d.name: d.choices[places[number]] for number, d in enumerate(decisions)})

    def kept(self, structure: tuple[int, ...]) -> list[NDArray[np.bool_]]:
        """By layer, which choices stay what they are in a structure: others have a replacement there."""
        if structure not in self._kept:
            self._kept[structure] = [self._stays(structure, position) for position in range(len(self.layers))]
        return self._kept[structure]

    def _stays(self, structure: tuple[int, ...], position: int) -> NDArray[np.bool_]:
        decision = self.layers[position]
        plain = [0] * len(self.layers)
        found = []
        for place in range(len(self.space.decisions[decision].choices)):
            layers = (*plain[:position], place, *plain[position + 1 :])
            found.append(self.places(self.candidate(structure, layers))[decision] == place)
        return np.array(found)

    def singles(self) -> list[Candidate]:
        """The candidates that differ from the baseline in one decision, the first other value of every decision
        first."""
        baseline = self.space.baseline()
        pairs = [(place, number) for number, d in enumerate(self.space.decisions) for place in range(1, len(d.choices))]
        changed = (self.space.decisions[number] for _, number in sorted(pairs))
        found = (
            self.space.candidate(baseline.decisions | {decision.name: decision.choices[place]})
            for (place, _), decision in zip(sorted(pairs), changed, strict=True)
        )
        unique = {candidate.digest: candidate for candidate in found}
        unique.pop(baseline.digest, None)
        return list(unique.values())
