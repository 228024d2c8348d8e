"""In which order the models of a paired measurement are opened and timed: drawn at random, and the same on repetition.

Whatever comes and goes in a rhythm (a timer, another program's frames) may lock on to models that take turns and then
always meet the same one. Drawn at random its share falls on both alike (Abedi and Brecht, Conducting Repeatable
Experiments in Highly Variable Cloud Computing Environments, ICPE 2017: randomised multiple interleaved trials; Google's
Benchmark interleaves at random for the same reason; Bulej et al., Duet Benchmarking, ICPE 2020, pair what cannot be
kept quiet).
"""

from __future__ import annotations

import random

BASELINE, CANDIDATE = "b", "c"


class Order:
    """The draws of one measurement, all from ``seed``; made anew for each."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._opened_next: list[str] = []

    def draw_first_to_open(self) -> str:
        """The model to open first in the next session pair: of two session pairs each is so once."""
        if not self._opened_next:
            self._opened_next = self._draw(2)
        return self._opened_next.pop()

    def draw_first_to_time(self, blocks: int) -> list[str]:
        """The model to time first in each of a session pair's blocks: each as often as the other, as far as their
        number allows, since the second may find the machine warmer."""
        return self._draw(blocks)

    def _draw(self, count: int) -> list[str]:
        either = [BASELINE, CANDIDATE]
        names = either * (count // 2) + [self._random.choice(either)] * (count % 2)
        self._random.shuffle(names)
        return names
