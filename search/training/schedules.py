"""Sparsity over time: functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest

Curve = Callable[[float, float, float, int], float]
"""Share of the way (0 to 1), initial and final sparsity, rounds; to the sparsity there."""


def one_shot(way: float, initial: float, final: float, rounds: int) -> float:
    """All at once, at the beginning."""
    return final


def iterative(way: float, initial: float, final: float, rounds: int) -> float:
    """``rounds`` equal rounds, each of which takes the same fraction of the weights that are left (Han et al., NIPS
    2015; Frankle and Carbin, ICLR 2019). Round ``k`` ends at ``k / rounds`` of the way."""
    if final == 1 or initial == 1:
        return initial if way < 1 else final
    done = math.floor(way * rounds + 1e-9)
    return float(1 - (1 - initial) * ((1 - final) / (1 - initial)) ** (done / rounds))


def gradual(way: float, initial: float, final: float, rounds: int) -> float:
    """Zhu and Gupta's cubic: fast while many weights are redundant, slow towards the end (*To prune, or not to prune*,
    arXiv:1710.01878, 2017)."""
    return final + (initial - final) * (1 - way) ** 3


SCHEDULES: Mapping[str, Curve] = {"one_shot": one_shot, "iterative": iterative, "gradual": gradual}


@dataclass(frozen=True)
class Schedule:
    """Updates to sparsity, a fraction: ``initial`` before the step ``begin``, exactly ``final`` from ``end`` on, never
    falling in between.

    ``curve`` is a name of :data:`SCHEDULES`; ``one_shot`` needs no ``end``. The sparsity changes every ``every`` steps;
    ``rounds`` are those of ``iterative``. Raises :class:`InvalidInput` for what cannot be such a schedule.

    >>> Schedule("gradual", final=0.8, end=100)(75)
    0.7875
    """

    curve: str
    final: float
    initial: float = 0.0
    begin: int = 0
    end: int | None = None
    every: int = 1
    rounds: int = 5

    def __post_init__(self) -> None:
        if self.curve not in SCHEDULES:
            raise InvalidInput(f"schedule: unknown curve {self.curve!r}", nearest(self.curve, list(SCHEDULES)))
        if not 0 <= self.initial <= self.final <= 1:
            raise InvalidInput(
                f"schedule: sparsity cannot go from {self.initial} to {self.final}",
                "give fractions, the initial one no larger than the final one",
            )
        if not 0 <= self.begin <= self._end or self.every < 1 or self.rounds < 1:
            raise InvalidInput(
                f"schedule: steps {self.begin} to {self._end}, every {self.every}, in {self.rounds} rounds make none",
                "begin at 0 or later, end no sooner than that, and take at least one step and one round",
            )

    @property
    def _end(self) -> int:
        return self.begin if self.end is None else self.end

    @property
    def settled_from(self) -> int:
        """The number of updates from which on the sparsity is ``final``."""
        return self.begin if self.curve == "one_shot" else self._end

    def __call__(self, step: int) -> float:
        """The sparsity after ``step`` updates."""
        if step >= self.settled_from:
            return self.final
        taken = (step - self.begin) // self.every * self.every
        if taken <= 0:
            return self.initial
        there = SCHEDULES[self.curve](taken / (self._end - self.begin), self.initial, self.final, self.rounds)
        return min(max(there, self.initial), self.final)
