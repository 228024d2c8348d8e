"""Which whole-model settings gained when the devices were asked: what a search tries first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.candidate import RUNTIME, Decision

Setting = tuple[tuple[str, str], ...]
"""Values by technique, for all decisions of that technique."""


def promising_settings(
    answers: Sequence[Mapping[str, Any]], decisions: Sequence[Decision], runtime: str
) -> tuple[Setting, ...]:
    """The settings of the whole model that are clearly faster than the baseline, the fastest first, as the answers say
    that the first device gave, whose first runtime is ``runtime``; those that these decisions cannot make are left
    out."""
    usual = {"precision": "fp32", "graph": "plain", RUNTIME: runtime}
    choices: dict[str, dict[str, None]] = {}
    for decision in decisions:
        choices.setdefault(decision.technique, {}).update(dict.fromkeys(decision.choices))
    found: dict[Setting, float] = {}
    for answer in answers:
        if answer.get("layer") != "all" or "ci95" not in answer or answer["ci95"][0] <= 1.0:
            continue
        values = {name: str(answer.get(name) or first) for name, first in usual.items()}
        setting = tuple((name, value) for name, value in values.items() if value != usual[name])
        if setting and all(value in choices.get(name, ()) for name, value in setting):
            found[setting] = max(found.get(setting, 0.0), float(answer["ratio"]))
    return tuple(sorted(found, key=lambda one: -found[one]))
