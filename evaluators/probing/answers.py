"""Answers of devices to questions about speed-ups, as JSON-able data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwprofiles.errors import CandidateError

Answer = dict[str, Any]
"""``ratio`` (baseline time over candidate time) with ``ci95``, and the medians ``ms`` and ``baseline_ms``; or the
``reason`` why there are none, with the ``state`` of the failure if it was one. ``transient`` is true if the answer is
due to the machine's state."""


def no_gain(error: CandidateError) -> Answer:
    """Returns the answer of a failed measurement."""
    return {"reason": f"{error.state}: {error.message}", "state": error.state}


def failure_of(answer: Mapping[str, Any]) -> str:
    """Returns the ``state`` of the failure that an answer reports; empty for one that reports none.

    >>> failure_of({"reason": "crashed: it ended with code 9", "state": "crashed"}), failure_of({"ratio": 2.0})
    ('crashed', '')

    Answers that earlier versions stored have the state in front of the reason only.
    """
    return str(answer.get("state") or str(answer.get("reason", "")).partition(":")[0])
