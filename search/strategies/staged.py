"""Searches in stages: each begins on the front of those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.bounds import MOST, MOST_AT_ONCE, MOST_ITEMS, Name
from search.fronts.pareto import Point, undominated
from search.options import USUAL_TRIALS, StrategyOptions, validate_options
from search.space.candidate import Candidate, Decision, Space
from search.strategies.base import LatencyPredictor, Result, Reward, Sections, Strategy, StrategyContext
from search.strategies.observations import shares_of_range

BASE = "base"
"""Name of a stage's decision about the member of the front that it changes."""

REPEATS = 50
"""Proposals in a row that a stage has made before, after which it is over; but not before its strategy was told of all
new ones, from which it may learn to propose others."""


class Stage(BaseModel):
    """A stage of a search: the techniques that it decides about, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    space: tuple[Name, ...] = Field((), max_length=MOST_ITEMS)
    """Techniques, of those of the job's space; by default all."""
    strategy: Name = "nsga2"
    """A strategy by name."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The strategy's options."""
    trials: int = Field(USUAL_TRIALS, ge=1, le=MOST)
    """Candidates of the stage."""
    keep: int = Field(8, ge=1, le=MOST_AT_ONCE)
    """Members of the front so far that it changes."""


class StagedOptions(StrategyOptions):
    """Options of the strategy ``staged``."""

    stages: tuple[Stage, ...] = Field((Stage(),), min_length=1, max_length=MOST_ITEMS)
    """The stages, in order."""

    @property
    def screens(self) -> bool:
        """See :attr:`StrategyOptions.screens`."""
        return any(_options_of(number, stage).screens for number, stage in enumerate(self.stages))


class Staged(Strategy):
    """Runs a strategy after another: a stage decides about its own techniques, on candidates that the stages before
    have put on the front. Each candidate's ``origin`` says its stage, the stage's strategy and the ``base`` that it
    changes, by digest; None for the unchanged model.

    Which member is changed is one more decision of the stage's strategy. Its first value is the most balanced member,
    with which a stage begins. Techniques that are in no stage belong to the last one.
    """

    Options = StagedOptions
    options: StagedOptions

    @classmethod
    def sections(cls, space: Sections, options: Mapping[str, Any]) -> Sections:
        """See :meth:`Strategy.sections`: the strategies of all stages may have options for techniques.

        Raises :class:`InvalidInput` for a stage with an unknown strategy or technique.
        """
        for number, stage in enumerate(StagedOptions.model_validate(options).stages):
            kind, where = _kind_of(number, stage), f"stages.{number}"
            _options_of(number, stage)
            for name in stage.space:
                if name not in space:
                    raise InvalidInput(
                        f"{where}.space: the job's space has no technique {name!r}", f"write: space: {{{name}: {{}}}}"
                    )
            for name in kind.needs:
                if name not in (stage.space or space):
                    raise InvalidInput(
                        f"{where}.space: the strategy {stage.strategy!r} needs the technique {name!r}",
                        f"add it to the stage and write: space: {{{name}: {{}}}}",
                    )
            space = kind.sections(space, stage.options)
        return space

    def __init__(self, context: StrategyContext, options: StrategyOptions) -> None:
        super().__init__(context, options)
        self._number = self._count = self._repeats = 0
        self._unchanged = self.space.baseline().digest
        self._results: dict[str, Result] = {}
        self._proposed: set[str] = set()
        self._asked: list[tuple[int, Candidate]] = []
        self._earlier: list[Reward] = []
        self._part = self._begin()

    @property
    def batch(self) -> int:
        """What the stage's strategy prefers, but no more than is left of the stage."""
        left = self.options.stages[self._number].trials - self._count
        return self._part.strategy.batch if self._is_last else max(1, min(self._part.strategy.batch, left))

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        if self._repeats > REPEATS and self._repeats >= len(self._asked) and not self._is_last:
            self._advance()
        own = self._part.strategy.ask()
        self._asked.append((self._number, own))
        base, strategy = self._part.base_of(own.decisions), self.options.stages[self._number].strategy
        candidate = self.space.candidate(self._part.complete(own.decisions)).with_origin(
            stage=self._number + 1, strategy=strategy, base=None if base == self._unchanged else base
        )
        self._repeats = self._repeats + 1 if candidate.digest in self._proposed else 0
        self._proposed.add(candidate.digest)
        return candidate

    def tell(self, results: Sequence[Result]) -> None:
        """See :meth:`Strategy.tell`."""
        asked, self._asked = self._asked, []
        pairs = [(own, r) for (number, own), r in zip(asked, results, strict=True) if number == self._number]
        if pairs:
            self._part.complete_digests |= {own.digest: result.candidate.digest for own, result in pairs}
            self._part.strategy.tell([replace(result, candidate=own) for own, result in pairs])
        new = {result.candidate.digest for _, result in pairs} - self._results.keys()
        self._count += len(new)
        if new:
            self._repeats = 0
        self._results |= {result.candidate.digest: result for result in results}
        if self._count >= self.options.stages[self._number].trials and not self._is_last:
            self._advance()

    @property
    def rewards(self) -> Sequence[Reward]:
        """See :attr:`Strategy.rewards`: those of all stages."""
        part, stage = self._part, self._number + 1
        own = (replace(r, digest=part.complete_digests[r.digest], stage=stage) for r in part.strategy.rewards)
        return [*self._earlier, *own]

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Strategy.state_dict`: that of the stage's strategy; the stages before are replayed."""
        return self._part.strategy.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :meth:`Strategy.load_state_dict`."""
        self._part.strategy.load_state_dict(state)

    @property
    def _is_last(self) -> bool:
        return self._number == len(self.options.stages) - 1

    def _advance(self) -> None:
        self._earlier = [*self.rewards]
        self._number += 1
        self._count = self._repeats = 0
        self._part = self._begin()

    def _begin(self) -> _Part:
        """Makes the strategy of the stage, over its own decisions and the members of the front."""
        stage, context = self.options.stages[self._number], self.context
        elsewhere = {name for other in self.options.stages if other is not stage for name in other.space}
        bases = front_of(list(self._results.values()), stage.keep) or [self.space.baseline()]
        decisions = [
            decision
            for decision in self.space.decisions
            if not stage.space
            or decision.technique in stage.space
            or (self._is_last and decision.technique not in elsewhere)
        ]
        by_digest = {base.digest: base.decisions for base in bases}
        if len(bases) > 1 and len(decisions) < len(self.space.decisions):
            decisions.insert(0, Decision(BASE, tuple(by_digest), "stages"))
        techniques = {decision.technique for decision in decisions}
        promising = (tuple(pair for pair in setting if pair[0] in techniques) for setting in self.space.promising)
        context_digest, settings = f"{self.space.context} {self._number}", tuple(filter(None, promising))
        space = Space(tuple(decisions), context_digest, self.space.replacements, settings)
        kind = _kind_of(self._number, stage)
        part = _Part(by_digest, bases[0].digest)
        predictor = context.predictor and _CompletedPredictor(context.predictor, part)
        part.strategy = kind(
            replace(context, space=space, seed=context.seed + self._number, predictor=predictor),
            _options_of(self._number, stage),
        )
        return part


class _Part:
    """A stage at work."""

    strategy: Strategy

    def __init__(self, bases: Mapping[str, Mapping[str, str]], usual: str) -> None:
        """``bases`` are the decisions of the members that it changes by digest, ``usual`` is one of them."""
        self._bases, self._usual = bases, usual
        self.complete_digests: dict[str, str] = {}
        """Digests of the job's candidates by those of the stage's own."""

    def base_of(self, decisions: Mapping[str, str]) -> str:
        """Returns the digest of the member that the stage's own ``decisions`` change."""
        return decisions.get(BASE, self._usual)

    def complete(self, decisions: Mapping[str, str]) -> dict[str, str]:
        """Returns the values of all decisions of the job, for the values of the stage's own ones."""
        own = {name: value for name, value in decisions.items() if name != BASE}
        return {**self._bases[self.base_of(decisions)], **own}


class _CompletedPredictor:
    """Predicts the speed-up of a stage's candidates."""

    def __init__(self, predictor: LatencyPredictor, part: _Part) -> None:
        self._predictor, self._part = predictor, part

    def speedup(self, decisions: Mapping[str, str]) -> float | None:
        """See :class:`LatencyPredictor`."""
        return self._predictor.speedup(self._part.complete(decisions))


def front_of(results: Sequence[Result], most: int) -> list[Candidate]:
    """Returns the candidates of the front, at most so many, spread along the first objective; first the one with the
    largest sum of gains, each as a share of its range on the front."""
    by_point: dict[Point, Candidate] = {}
    for result in results:
        if result.feasible and result.gains is not None:
            by_point.setdefault(result.gains, result.candidate)
    front = undominated(by_point)[::-1]
    if len(front) > most:
        places = np.unique(np.linspace(0, len(front) - 1, most).round().astype(int)) if most > 1 else [len(front) // 2]
        front = [front[int(place)] for place in places]
    if not front:
        return []
    sums = shares_of_range(front).sum(axis=1)
    return [by_point[front[int(number)]] for number in np.argsort(-sums, kind="stable")]


def _kind_of(number: int, stage: Stage) -> type[Strategy]:
    """Returns the class of a stage's strategy; raises :class:`InvalidInput` for an unknown name."""
    from search.strategies import STRATEGIES

    if stage.strategy not in STRATEGIES or stage.strategy == "staged":
        names = [name for name in STRATEGIES if name != "staged"]
        raise InvalidInput(
            f"stages.{number}.strategy: unknown strategy {stage.strategy!r}", nearest(stage.strategy, names)
        )
    return STRATEGIES[stage.strategy]


def _options_of(number: int, stage: Stage) -> StrategyOptions:
    return validate_options(_kind_of(number, stage).Options, stage.options, f"stages.{number}.options")
