"""Why a job ended before it had tried as many candidates as its budget allows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from search.job import Budget
from search.scheduler import REPEATS_UNTIL_EXHAUSTED

Reason = Literal["space", "repeats", "time"]


@dataclass(frozen=True)
class Ending:
    """The ``reason`` for programs, the ``text`` for people."""

    reason: Reason
    text: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)


def ending_of(budget: Budget, *, finished: int, size: int, repeats: bool, late: bool) -> Ending | None:
    """Why there are ``finished`` candidates and not as many as the budget has; None where there are.

    ``size`` is that of the space, ``repeats`` whether the strategy proposed nothing new, ``late`` whether there was no
    time for more.

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
        return Ending("time", f"{minutes} left no time for another one after {of}")
    if repeats:
        return Ending(
            "repeats",
            f"the strategy proposed nothing new in {REPEATS_UNTIL_EXHAUSTED} proposals in a row, after {of}",
        )
    return None
