"""Uniform random search: the control that every other strategy must beat."""

from __future__ import annotations

from collections.abc import Sequence

from search.space.candidate import Candidate
from search.strategies.base import Result
from search.strategies.drawing import DrawingOptions, DrawingStrategy


class RandomOptions(DrawingOptions):
    """Options of the strategy ``random``."""


class RandomSearch(DrawingStrategy):
    """Proposes the uniform assignments first, then draws every decision independently and uniformly; screens draws."""

    Options = RandomOptions

    def draw(self) -> Candidate:
        """See :meth:`DrawingStrategy.draw`."""
        return self.draw_uniformly()

    def tell(self, results: Sequence[Result]) -> None:
        """Ignores the results."""
