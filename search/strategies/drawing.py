"""What strategies share that draw candidates: the uniform assignments first, and screening of draws by predictions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from pydantic import Field

from search.bounds import MOST_AT_ONCE
from search.options import StrategyOptions
from search.space.candidate import Candidate
from search.strategies.base import Strategy, StrategyContext


class DrawingOptions(StrategyOptions):
    """Options of strategies that draw candidates."""

    batch: int = Field(16, ge=1, le=MOST_AT_ONCE)
    """Candidates in a block."""
    screen: int = Field(1, ge=1, le=1000)
    """Draws per candidate, of which one is chosen by its predicted latency."""

    @property
    def screens(self) -> bool:
        """See :attr:`StrategyOptions.screens`."""
        return self.screen > 1


class DrawingStrategy(Strategy):
    """Proposes the uniform assignments first, then what :meth:`draw` gives.

    Screening drops draws that are dominated by another draw, which changes no more decisions and is predicted to be
    faster; it proposes a random one of the others, so that every trade-off between the two is tried. Without a
    predictor or a prediction nothing is dropped.
    """

    Options = DrawingOptions
    options: DrawingOptions

    def __init__(self, context: StrategyContext, options: StrategyOptions) -> None:
        super().__init__(context, options)
        self._seeds = self.space.uniform()

    @property
    def batch(self) -> int:
        """See :attr:`Strategy.batch`."""
        return self.options.batch

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        if self._seeds:
            return self._seeds.pop(0)
        predictor = self.context.predictor
        if not self.options.screens or predictor is None:
            return self.draw()
        draws = [self.draw() for _ in range(self.options.screen)]
        speedups = [predictor.speedup(draw.decisions) for draw in draws]
        candidates = screen_draws(draws, speedups, self.space.baseline())
        return candidates[self.below(len(candidates))]

    @abstractmethod
    def draw(self) -> Candidate:
        """Draws a candidate."""

    def draw_uniformly(self) -> Candidate:
        """Draws every decision independently and uniformly."""
        return self.space.candidate({d.name: d.choices[self.below(len(d.choices))] for d in self.space.decisions})

    def below(self, count: int) -> int:
        """Draws a number from 0 to ``count - 1``."""
        return int(self.rng.integers(count))


def screen_draws(draws: Sequence[Candidate], speedups: Sequence[float | None], baseline: Candidate) -> list[Candidate]:
    """Keeps the draws that are not dominated by a draw of no more changes and a higher predicted speed-up. Keeps draws
    without a prediction."""
    unchanged = dict(baseline.values)
    changes = [sum(value != unchanged[name] for name, value in draw.values) for draw in draws]
    rows = list(zip(draws, changes, speedups, strict=True))
    return [
        draw
        for draw, changed, speedup in rows
        if speedup is None
        or not any(count <= changed and faster is not None and faster > speedup for _, count, faster in rows)
    ]
