"""A job's time by phase, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.figures import duration

_PHASES = {
    "preparing": "preparing", "searching": "searching", "confirming": "final measurements",
    "killed": "in runs that were killed",
}  # fmt: skip
_WORTH_NAMING_S = 1.0


def spent_in_words(spent: Mapping[str, Any]) -> str:
    """Returns the time by phase in one line; empty if it is unknown.

    >>> spent_in_words({"preparing": 34.0, "searching": 20.0, "parts": {"exporting the model": 30.2, "opening": 0.2}})
    'preparing 34 s (exporting the model 30 s), searching 20 s'
    """
    words = []
    for phase, title in _PHASES.items():
        if phase in spent:
            parts = spent["parts"].items() if phase == "preparing" else ()
            named_parts = [f"{name} {duration(seconds)}" for name, seconds in parts if seconds >= _WORTH_NAMING_S]
            words.append(f"{title} {duration(spent[phase])}" + (f" ({', '.join(named_parts)})" if named_parts else ""))
    return ", ".join(words)


def left_in_words(left: Mapping[str, float]) -> str:
    """Returns the time left of each phase that is not over.

    >>> left_in_words({"searching": 40.0, "confirming": 20.0})
    '1 min 00 s left (searching 40 s, final measurements 20 s)'
    """
    total = f"{duration(sum(left.values()))} left"
    if len(left) < 2:
        return f"{total} for preparing" if "preparing" in left else total
    return f"{total} ({', '.join(f'{_PHASES[phase]} {duration(seconds)}' for phase, seconds in left.items())})"
