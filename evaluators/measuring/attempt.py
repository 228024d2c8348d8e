"""One try at measuring, and which of several is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from evaluators.health import Health
from evaluators.measuring.measurement import Measurement, quarantine_entry
from evaluators.measuring.throughput import Throughput
from hwprofiles.errors import UnhealthyMeasurement

T = TypeVar("T", Measurement, Throughput)


@dataclass(frozen=True)
class Attempt(Generic[T]):
    """What a try came to: a record, or what is wrong with it; and how the machine was meanwhile."""

    health: Health
    record: T | None = None
    failure: str = ""

    def quarantine_entry(self) -> dict[str, Any]:
        """As a later attempt's record lists it: figures for whoever wants to know, never averaged in."""
        if self.record is None:
            return quarantine_entry(self.health, None, None)
        return quarantine_entry(self.health, self.record.ratio, self.record.ratio_ci95)


def select_attempt(made: Sequence[Attempt[T]]) -> T:
    """The last attempt, which is the healthy one where there is any, with the others listed as quarantined.

    Where it came to nothing on an unhealthy machine, an earlier one that came to something stands in. Raises
    :class:`UnhealthyMeasurement` where there is none.
    """
    last = made[-1]
    usable = (
        [last] if not last.health.transient else [attempt for attempt in made if attempt.record is not None] or [last]
    )
    chosen = usable[-1]
    if chosen.record is None:
        why = f"; the machine was {chosen.health.verdict}: {chosen.health.reasons[0]}" if chosen.health.reasons else ""
        raise UnhealthyMeasurement(chosen.failure + why, "quieten the machine and measure again")
    others = tuple(attempt.quarantine_entry() for attempt in made if attempt is not chosen)
    return replace(chosen.record, health=chosen.health, quarantined=others)
