"""Reasons why a search ended before it had tried as many candidates as its budget allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from search.controller.scheduler import REPEATS_UNTIL_EXHAUSTED
from search.job.spec import Budget

Reason = Literal["space", "repeats", "time"]


@dataclass(frozen=True)
class Ending:
    """Why a search ended early."""

    reason: Reason
    """For programs."""
    text: str
    """For people."""
    untried: tuple[Mapping[str, Any], ...] = ()
    """Settings of the whole model that the device measured as faster, but that no candidate has: ``values`` by
    technique, ``ratio`` and ``ci95``."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        document = asdict(self)
        return document if self.untried else {key: document[key] for key in ("reason", "text")}


def ending_of(
    budget: Budget, *, finished: int, size: int, repeats: bool, late: bool, untried: Sequence[Mapping[str, Any]] = ()
) -> Ending | None:
    """Returns why there are only ``finished`` candidates; None if there are as many as the budget allows.

    ``size`` is that of the space, ``repeats`` whether the strategy proposed nothing new, ``late`` whether time was up.

    >>> ending_of(Budget(trials=60), finished=16, size=16, repeats=False, late=False).text
    'all 16 candidates of the search space were tried'
    """
    if finished >= budget.trials:
        return None
    if finished >= size:
        return Ending("space", f"all {finished} candidates of the search space were tried")
    of = f"{finished} of {min(budget.trials, size)} candidates"
    if late:
        minutes = f"the budget of {budget.minutes:g} min" if budget.minutes is not None else "the time"
        text = f"{minutes} left no time for another one after {of}"
        if untried:
            text += f"; faster when benchmarked, but not tried: {', '.join(map(_in_words, untried))}"
        return Ending("time", text, tuple(untried))
    if repeats:
        return Ending(
            "repeats",
            f"the strategy proposed nothing new in {REPEATS_UNTIL_EXHAUSTED} proposals in a row, after {of}",
        )
    return None


def _in_words(gain: Mapping[str, Any]) -> str:
    low, high = gain["ci95"]
    return f"{' '.join(gain['values'].values())} {gain['ratio']:.2f}x [{low:.2f}, {high:.2f}]"
