"""FLIQS: one training per target, which finds the layers' number formats while it trains the weights for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwprofiles.errors import InvalidInput
from search.fliqs.options import OneShotOptions
from search.options import StrategyOptions
from search.space.candidate import Candidate
from search.strategies.base import Result, Sections, Strategy, StrategyContext


class FliqsOptions(OneShotOptions, StrategyOptions):
    """Options of the strategy ``fliqs``: those of the one-shot search."""


class Fliqs(Strategy):
    """Proposes every target, with each uniform value of the other decisions (such as the runtime); the baseline first.

    A target is a value of the technique ``formats``, whose training does the search (:mod:`search.fliqs`; Dotzel et
    al., AutoML 2024) with this strategy's options. So the strategy learns nothing from results.
    """

    Options = FliqsOptions
    options: FliqsOptions
    needs = ("formats",)

    @classmethod
    def sections(cls, space: Sections, options: Mapping[str, Any]) -> Sections:
        """See :meth:`Strategy.sections`: the options become those of the technique's search."""
        if "search" in space["formats"]:
            raise InvalidInput(
                "space.formats.search: the strategy fliqs has these options",
                "move them to strategy.options, or take another strategy",
            )
        return {**space, "formats": {**space["formats"], "search": options}}

    def __init__(self, context: StrategyContext, options: StrategyOptions) -> None:
        super().__init__(context, options)
        self._candidates = self.space.uniform()
        self._ask_count = 0

    @property
    def batch(self) -> int:
        """See :attr:`Strategy.batch`."""
        return len(self._candidates)

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        candidate = self._candidates[self._ask_count % len(self._candidates)]
        self._ask_count += 1
        return candidate

    def tell(self, results: Sequence[Result]) -> None:
        """Ignores the results."""
