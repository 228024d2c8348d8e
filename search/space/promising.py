"""Settings of the whole model that a device measured as faster: what a search tries first."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from search.space.candidate import RUNTIME, Decision, Space

Setting = tuple[tuple[str, str], ...]
"""Technique and value, each for all decisions of that technique."""


def promising_settings(
    answers: Sequence[Mapping[str, Any]], decisions: Sequence[Decision], runtime: str
) -> tuple[Setting, ...]:
    """Settings of the whole model that are clearly faster than the baseline, the fastest first.

    ``answers`` are those of the first device, whose first runtime is ``runtime``; the ``values`` of one
    (:attr:`search.space.offer.Offer.answers`) are its setting. Settings that ``decisions`` cannot express are left out.
    """
    gains = _gains(answers, decisions, runtime)
    return tuple(sorted(gains, key=lambda setting: -float(gains[setting]["ratio"])))


def gains_without_trial(
    answers: Sequence[Mapping[str, Any]], space: Space, runtime: str, tried: Collection[str]
) -> list[dict[str, Any]]:
    """Promising settings without a candidate among those ``tried`` (by digest), the fastest first.

    Each is ``{"values", "ratio", "ci95"}``: values by technique, and the measured speed-up of the whole model.
    """
    gains = _gains(answers, space.decisions, runtime)
    left = [values for values in space.promising if space.candidate_everywhere(dict(values)).digest not in tried]
    return [
        {"values": dict(setting), "ratio": gains[setting]["ratio"], "ci95": list(gains[setting]["ci95"])}
        for setting in left
        if setting in gains
    ]


def _gains(
    answers: Sequence[Mapping[str, Any]], decisions: Sequence[Decision], runtime: str
) -> dict[Setting, Mapping[str, Any]]:
    """Returns the best answer about each setting that is clearly faster and that these decisions can express."""
    choices: dict[str, dict[str, None]] = {}
    for decision in decisions:
        choices.setdefault(decision.technique, {}).update(dict.fromkeys(decision.choices))
    usual = {name: next(iter(values)) for name, values in choices.items()} | {RUNTIME: runtime}
    gains: dict[Setting, Mapping[str, Any]] = {}
    for answer in answers:
        values: Mapping[str, str] = answer.get("values", {})
        if not answer.get("ci95") or answer["ci95"][0] <= 1.0:
            continue
        setting = tuple((name, value) for name, value in values.items() if value != usual.get(name))
        possible = setting and all(value in choices.get(name, ()) for name, value in setting)
        if possible and (setting not in gains or answer["ratio"] > gains[setting]["ratio"]):
            gains[setting] = answer
    return gains
