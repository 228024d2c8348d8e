"""Which whole-model settings gained when the devices were asked: what a search tries first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.candidate import RUNTIME, Decision

Setting = tuple[tuple[str, str], ...]
"""Values by technique, for all decisions of that technique."""

_TECHNIQUES = ("precision", "graph", RUNTIME)


def promising_settings(answers: Sequence[Mapping[str, Any]], decisions: Sequence[Decision]) -> tuple[Setting, ...]:
    """The settings of the whole model that are clearly faster than the baseline, the fastest first, as the answers say
    that the first device gave; those that these decisions cannot make are left out."""
    choices: dict[str, dict[str, None]] = {}
    for decision in decisions:
        choices.setdefault(decision.technique, {}).update(dict.fromkeys(decision.choices))
    found: dict[Setting, float] = {}
    for answer in answers:
        if answer.get("layer") != "all" or "ci95" not in answer or answer["ci95"][0] <= 1.0:
            continue
        setting = _setting(answer, choices)
        if setting:
            found[setting] = max(found.get(setting, 0.0), float(answer["ratio"]))
    return tuple(sorted(found, key=lambda one: -found[one]))


def _setting(answer: Mapping[str, Any], choices: Mapping[str, Mapping[str, None]]) -> Setting:
    """The answer's values that differ from the first choices; empty where nothing differs or one is no choice."""
    values = []
    for technique in _TECHNIQUES:
        value, own = answer.get(technique), choices.get(technique, {})
        if value is None or value == next(iter(own), value if technique != "precision" else "fp32"):
            continue
        if value not in own:
            return ()
        values.append((technique, str(value)))
    return tuple(values)
