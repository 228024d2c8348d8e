"""Sparsity schedules: sparsity as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest

Curve = Callable[[float, float, float, int], float]
"""Maps progress (0 to 1), initial and final sparsity, and number of rounds to the current sparsity."""


def one_shot(way: float, initial: float, final: float, rounds: int) -> float:
    """Prunes everything at the beginning."""
    return final


def iterative(way: float, initial: float, final: float, rounds: int) -> float:
    """Prunes the same fraction of the remaining weights in each of ``rounds`` rounds (Han et al., NIPS 2015; Frankle
    and Carbin, ICLR 2019). Round ``k`` ends at progress ``k / rounds``."""
    if final == 1 or initial == 1:
        return initial if way < 1 else final
    finished_rounds = math.floor(way * rounds + 1e-9)
    return float(1 - (1 - initial) * ((1 - final) / (1 - initial)) ** (finished_rounds / rounds))


def gradual(way: float, initial: float, final: float, rounds: int) -> float:
    """Prunes along a cubic: fast while many weights are redundant, slow towards the end (Zhu and Gupta, *To prune, or
    not to prune*, arXiv:1710.01878, 2017)."""
    return final + (initial - final) * (1 - way) ** 3


SCHEDULES: Mapping[str, Curve] = {"one_shot": one_shot, "iterative": iterative, "gradual": gradual}


@dataclass(frozen=True)
class Schedule:
    """Sparsity (a fraction) by number of updates; never decreases. Raises :class:`InvalidInput` for invalid fields.

    >>> Schedule("gradual", final=0.8, end=100)(75)
    0.7875
    """

    curve: str
    """A name in :data:`SCHEDULES`."""
    final: float
    """Sparsity from step ``end`` on."""
    initial: float = 0.0
    """Sparsity before step ``begin``."""
    begin: int = 0
    end: int | None = None
    """Not needed for ``one_shot``."""
    every: int = 1
    """Steps between changes of the sparsity."""
    rounds: int = 5
    """Rounds of ``iterative``."""

    def __post_init__(self) -> None:
        if self.curve not in SCHEDULES:
            raise InvalidInput(f"schedule: unknown curve {self.curve!r}", nearest(self.curve, list(SCHEDULES)))
        if not 0 <= self.initial <= self.final <= 1:
            raise InvalidInput(
                f"schedule: sparsity cannot go from {self.initial} to {self.final}",
                "give fractions from 0 to 1, with initial <= final",
            )
        if not 0 <= self.begin <= self._end or self.every < 1 or self.rounds < 1:
            raise InvalidInput(
                f"schedule: invalid steps {self.begin} to {self._end}, every {self.every}, in {self.rounds} rounds",
                "use 0 <= begin <= end, and at least one step and one round",
            )

    @property
    def _end(self) -> int:
        return self.begin if self.end is None else self.end

    @property
    def final_step(self) -> int:
        """Number of updates from which on the sparsity is ``final``."""
        return self.begin if self.curve == "one_shot" else self._end

    def __call__(self, step: int) -> float:
        """Computes the sparsity after ``step`` updates."""
        if step >= self.final_step:
            return self.final
        position = (step - self.begin) // self.every * self.every
        if position <= 0:
            return self.initial
        sparsity = SCHEDULES[self.curve](position / (self._end - self.begin), self.initial, self.final, self.rounds)
        return min(max(sparsity, self.initial), self.final)
