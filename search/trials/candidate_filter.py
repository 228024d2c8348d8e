"""The filters of a job, in front of the training of a candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hwprofiles import digest_of
from search.filters import Scored, make_filters
from search.prediction.modelled import ModelledJob
from search.techniques import trains


@dataclass(frozen=True)
class Judged:
    """A candidate's changed module as the job's filters see it."""

    module: str
    """Names it: candidates of one module differ in other decisions alone, and are judged alike."""
    size: float
    """Its parameters, as a share of those of the task's own module."""
    scores: Mapping[str, float]
    """By filter."""
    refused: str | None = None
    """Why it is not trained."""


class CandidateFilter:
    """The filters of a job; ``sections`` are their options by name."""

    def __init__(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        self._filters = make_filters(sections)

    def __bool__(self) -> bool:
        return bool(self._filters)

    def judge(self, own: Judged, earlier: Sequence[Judged]) -> Judged:
        """Returns the module with the reason if it is refused; as in its first block, if ``earlier`` ones had it."""
        modules: dict[str, Judged] = {}
        for other in earlier:
            modules.setdefault(other.module, other)
        if own.module in modules:
            return replace(own, refused=modules[own.module].refused)
        for name, kind in self._filters.items():
            others = [Scored(other.size, other.scores[name]) for other in modules.values()]
            reason = kind.refuse(Scored(own.size, own.scores[name]), others)
            if reason is not None:
                return replace(own, refused=f"filter {name}: {reason}")
        return own

    def invent(self, layers: ModelledJob, decisions: Mapping[str, str]) -> Judged | None:
        """Makes scores up for a dry run, which builds nothing; None for a candidate whose module is unchanged."""
        changed = [
            [decision.name, decisions[decision.name]]
            for decision in layers.space.decisions
            if trains([decision.technique]) and decisions[decision.name] != decision.choices[0]
        ]
        if not changed:
            return None
        module, candidate = digest_of(changed), layers.candidate(decisions)
        weights = sum(candidate.cost(group).weights for group in candidate.groups)
        size = max(1, weights) / max(1, sum(group.weights for group in layers.groups))
        scores = {name: int(digest_of([name, module])[:8], 16) / 2**32 for name in self._filters}
        return Judged(module, size, scores)
