"""Attempts at a measurement, and the choice of the one that is reported."""

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
    """One attempt at a measurement."""

    health: Health
    """The machine's health during the attempt."""
    record: T | None = None
    """The result; None if the attempt failed."""
    failure: str = ""
    """Why it failed."""

    def quarantine_entry(self) -> dict[str, Any]:
        """Returns this attempt in the ``quarantined`` list of the reported record; its figures are never averaged
        in."""
        if self.record is None:
            return quarantine_entry(self.health, None, None)
        return quarantine_entry(self.health, self.record.ratio, self.record.ratio_ci95)


def select_attempt(attempts: Sequence[Attempt[T]]) -> T:
    """Returns the record of the last attempt, with the other attempts listed as quarantined.

    The last attempt is the healthy one, if any. If it failed on an unhealthy machine, the last successful one is taken.
    Raises :class:`UnhealthyMeasurement` if there is none.
    """
    last = attempts[-1]
    usable = [last]
    if last.health.transient:
        usable = [attempt for attempt in attempts if attempt.record is not None] or [last]
    chosen = usable[-1]
    if chosen.record is None:
        why = f"; the machine was {chosen.health.verdict}: {chosen.health.reasons[0]}" if chosen.health.reasons else ""
        raise UnhealthyMeasurement(chosen.failure + why, "reduce other load on the machine and measure again")
    quarantined = tuple(attempt.quarantine_entry() for attempt in attempts if attempt is not chosen)
    return replace(chosen.record, health=chosen.health, quarantined=quarantined)
