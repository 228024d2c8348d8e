"""The random but repeatable order in which the models of a paired measurement are opened and timed.

Periodic load (a timer, another program's frames) may coincide with models that take turns and always hit the same one.
In random order it hits both alike (Abedi and Brecht, Conducting Repeatable Experiments in Highly Variable Cloud
Computing Environments, ICPE 2017: randomised multiple interleaved trials). Google's Benchmark interleaves at random for
the same reason; Bulej et al., Duet Benchmarking, ICPE 2020, pair models on machines that cannot be kept quiet.
"""

from __future__ import annotations

import random

BASELINE, CANDIDATE = "b", "c"


class Order:
    """The random draws of one measurement, determined by ``seed``."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._to_open: list[str] = []

    def draw_first_to_open(self) -> str:
        """Draws the model to open first in the next session pair; in two successive pairs each comes once."""
        if not self._to_open:
            self._to_open = self._draw(2)
        return self._to_open.pop()

    def draw_first_to_time(self, blocks: int) -> list[str]:
        """Draws the model to time first in each block of a session pair; both equally often, if ``blocks`` is even.

        The model timed second may find a warmer machine.
        """
        return self._draw(blocks)

    def _draw(self, count: int) -> list[str]:
        either = [BASELINE, CANDIDATE]
        names = either * (count // 2) + [self._random.choice(either)] * (count % 2)
        self._random.shuffle(names)
        return names
