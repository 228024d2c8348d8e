"""A job's time by phase, spent and left."""

from __future__ import annotations

import math

from dashboards.words import Json
from search.budget.time_budget import TimeBudget
from search.job.facts import JobFacts

OF_THE_CLOCK = ("time_s", "preparing_s", "measuring_s", "ending")
"""Facts about time, which are not part of the baseline's document."""


def time_document(facts: JobFacts) -> Json:
    """Returns the seconds by phase so far, with the parts of the preparation."""
    return {**facts.time_s, "parts": dict(facts.preparing_s)}


def left_document(facts: JobFacts, minutes: float | None, wall_s: float, measurements: int) -> Json:
    """Estimated seconds left of the search and of the final measurements; None if unknown."""
    budget = TimeBudget(math.inf if minutes is None else 60.0 * minutes, wall_s, clock=lambda: 0.0)
    budget.learn_durations(facts.measuring_s)
    budget.expect(measurements)
    left = budget.left_s()
    return {phase: round(seconds, 1) if math.isfinite(seconds) else None for phase, seconds in left.items()}
