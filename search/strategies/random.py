"""Uniform random search: the control that every other strategy must beat."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from search.options import StrategyOptions
from search.space.candidate import Candidate, Space
from search.strategies.base import Result, Strategy


class RandomOptions(StrategyOptions):
    """``batch`` candidates are asked at once. With ``screen`` above 1 each is chosen among so many draws by what their
    latency is predicted to be."""

    batch: int = Field(16, ge=1)
    screen: int = Field(1, ge=1, le=1000)

    @property
    def screens(self) -> bool:
        """See :attr:`StrategyOptions.screens`."""
        return self.screen > 1


class RandomSearch(Strategy):
    """The uniform assignments first, then every decision drawn independently and uniformly.

    Screening measures no draw that another of them makes pointless: one that changes no more decisions and is predicted
    to be faster. One of those that are left is proposed at random, so that every trade between the two is tried.
    Without a predictor, and where it has nothing to say of a draw, nothing is screened.
    """

    Options = RandomOptions
    options: RandomOptions

    def __init__(self, space: Space, objectives: int, constraints: int, seed: int, options: StrategyOptions) -> None:
        super().__init__(space, objectives, constraints, seed, options)
        self._seeds = space.uniform()

    @property
    def batch(self) -> int:
        """See :attr:`Strategy.batch`."""
        return self.options.batch

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        if self._seeds:
            return self._seeds.pop(0)
        if not self.options.screens or self.predictor is None:
            return self._drawn()
        draws = [self._drawn() for _ in range(self.options.screen)]
        left = screen_draws(draws, [self.predictor.speedup(one.decisions) for one in draws], self.space.baseline())
        return left[int(self.rng.integers(len(left)))]

    def _drawn(self) -> Candidate:
        return self.space.candidate(
            {d.name: d.choices[int(self.rng.integers(len(d.choices)))] for d in self.space.decisions}
        )

    def tell(self, results: Sequence[Result]) -> None:
        """Learns nothing."""


def screen_draws(draws: Sequence[Candidate], speedups: Sequence[float | None], baseline: Candidate) -> list[Candidate]:
    """The draws that no other beats: as few changed decisions or fewer, and a higher predicted speed-up. A draw without
    a prediction stays."""
    unchanged = dict(baseline.values)
    changes = [sum(value != unchanged[name] for name, value in draw.values) for draw in draws]
    rows = list(zip(draws, changes, speedups, strict=True))
    return [
        draw
        for draw, changed, speedup in rows
        if speedup is None
        or not any(other <= changed and known is not None and known > speedup for _, other, known in rows)
    ]
