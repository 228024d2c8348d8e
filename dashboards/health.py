"""How a machine was while it was measured on, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def in_words(health: Mapping[str, Any]) -> str:
    """The verdict and what it rests on.

    >>> in_words({"verdict": "contended", "reasons": ["others used 40% of the measured cores"]})
    'contended: others used 40% of the measured cores'
    """
    reasons = "; ".join(health.get("reasons", ()))
    return f"{health['verdict']}: {reasons}" if reasons else str(health["verdict"])


def health_fields(health: Mapping[str, Any]) -> dict[str, str]:
    """The verdict, and the signals that the machine does not expose, for a table."""
    return {"health": in_words(health), "unknown signals": ", ".join(health.get("unknown", ())) or "none"}
