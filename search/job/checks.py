"""Checks of parts of a job file, against the names that exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evaluators.measuring.statistics import PERCENTILE_SAMPLES
from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.options import validate_options

PERCENTILE = "latency_ms.p"

_MEANT = {**dict.fromkeys(("quantisation", "quantise", "quant", "int8", "int4"), "precision"), "fusion": "graph"}
"""Techniques by other usual names."""


def check_techniques(space: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses unknown techniques, wrong options, and two techniques that decide the same."""
    from search.techniques import TECHNIQUES

    deciding: dict[str, str] = {}
    for name, options in sorted(space.items()):
        if name not in TECHNIQUES:
            meant = _MEANT.get(name.lower().replace("quantiz", "quantis"))
            hint = f"did you mean {meant!r}?" if meant else nearest(name, list(TECHNIQUES))
            raise InvalidInput(f"space: unknown technique {name!r}", hint)
        validate_options(TECHNIQUES[name].Options, options, f"space.{name}")
        question = TECHNIQUES[name].decides
        if question in deciding:
            raise InvalidInput(
                f"space: {deciding[question]} and {name} both decide {question}", "leave one of them out"
            )
        deciding |= {question: name} if question else {}


def check_percentile(metric: str, place: str) -> None:
    """Raises :class:`InvalidInput` for a percentile that is not computed, before anything is measured."""
    percentiles = [50, *PERCENTILE_SAMPLES]
    if metric.startswith(PERCENTILE) and metric not in [f"{PERCENTILE}{percent}" for percent in percentiles]:
        raise InvalidInput(
            f"{place}: there is no metric {metric!r}",
            f"write {either(f'{PERCENTILE}{percent}' for percent in percentiles)}",
        )


def either(names: Iterable[str]) -> str:
    """Returns names as a choice: ``a, b or c``."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
