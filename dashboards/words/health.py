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


def verdict_on(verdicts: Sequence[tuple[str | None, str | None]], profile_digest: str | None) -> str | None:
    """Returns the last of the verdicts on a profile (None: on any), each of which comes with its profile's digest."""
    own = [verdict for digest, verdict in verdicts if profile_digest in (None, digest)]
    return own[-1] if own else None
