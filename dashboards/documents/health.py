"""How a machine was while it was measured on, as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def in_words(health: Mapping[str, Any]) -> str:
    """The verdict and what it rests on.

    >>> in_words({"verdict": "contended", "reasons": ["others used 40% of the measured cores"]})
    'contended: others used 40% of the measured cores'
    """
    reasons = "; ".join(health.get("reasons", ()))
    return f"{health['verdict']}: {reasons}" if reasons else str(health["verdict"])


def last_health(measurements: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """How the machine was while the last of a candidate's measurements was made; None where nobody looked."""
    found: list[dict[str, Any] | None] = [measurement["record"].get("health") for measurement in measurements]
    return found[-1] if found else None


def verdict_on(measurements: Sequence[Mapping[str, Any]], profile_digest: str | None) -> str | None:
    """The verdict of the last of them that was made on a profile (None: on any); None where nobody looked."""
    health = last_health([one for one in measurements if profile_digest in (None, one["record"].get("profile_digest"))])
    return None if health is None else str(health["verdict"])


def health_fields(health: Mapping[str, Any]) -> dict[str, str]:
    """The verdict, and the signals that the machine does not expose, for a table."""
    return {"health": in_words(health), "unknown signals": ", ".join(health.get("unknown", ())) or "none"}
