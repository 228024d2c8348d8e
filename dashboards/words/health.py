"""The machine's health during measurements, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def health_in_words(health: Mapping[str, Any]) -> str:
    """Returns the verdict with its reasons.

    >>> health_in_words({"verdict": "contended", "reasons": ["others used 40% of the measured cores"]})
    'contended: others used 40% of the measured cores'
    """
    reasons = "; ".join(health.get("reasons", ()))
    return f"{health['verdict']}: {reasons}" if reasons else str(health["verdict"])


def last_health(measurements: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns the machine's health in the last of a candidate's measurements; None without one."""
    records: list[dict[str, Any] | None] = [measurement["record"].get("health") for measurement in measurements]
    return records[-1] if records else None


def verdict_on(measurements: Sequence[Mapping[str, Any]], profile_digest: str | None) -> str | None:
    """Returns the verdict of the last measurement on a profile (None: on any); None without one."""
    own = [row for row in measurements if profile_digest in (None, row["record"].get("profile_digest"))]
    health = last_health(own)
    return None if health is None else str(health["verdict"])
