"""Candidates in words: training, quality, decisions."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from search.fronts.metrics import FILTER, QUALITY_CHECK, QUALITY_FROM
from search.space.candidate import Decision, Space
from search.training.asha import TRAINING

if TYPE_CHECKING:
    from search.techniques import Technique

UNCHANGED = "unchanged"


def training_in_words(metrics: Mapping[str, Any]) -> str | None:
    """Returns the course of a candidate's training; None without one.

    >>> training_in_words({"training": {"figures": [0.71, 0.95, 0.97], "stopped": False}})
    '0.7100 before training, 0.9700 at best after it, 2 evaluations'
    """
    course = metrics.get(TRAINING)
    if not course or not course["figures"]:
        return None
    before, *after = course["figures"]
    count = f"{len(after)} evaluation" + "s" * (len(after) != 1)
    return f"{before:.4f} before training, {max(course['figures']):.4f} at best after it, {count}"


def filter_in_words(metrics: Mapping[str, Any]) -> str | None:
    """Returns what the job's filters saw of a candidate before its training; None if it was not filtered.

    >>> filter_in_words({"filter": {"size": 0.25, "scores": {"parameters": 0.25, "zico": 81.5}}})
    '25 % of the parameters, zico 81.5'
    """
    judged = metrics.get(FILTER)
    if not judged:
        return None
    scores = [f"{name} {score:.4g}" for name, score in judged["scores"].items() if name != "parameters"]
    return ", ".join([f"{100 * judged['size']:.3g} % of the parameters", *scores])


def quality_in_words(metrics: Mapping[str, Any]) -> list[str]:
    """Returns the outputs that quality was computed from, for each remote device; empty for devices of this machine.

    >>> quality_in_words({"quality_from": "host", "quality_check": "same outputs"})
    ['quality: of the outputs on this machine (same outputs)']
    """
    lines = []
    for name, check in metrics.items():
        base, _, label = name.partition("@")
        if base == QUALITY_CHECK:
            whose = "the device's own outputs" if metrics.get(name.replace(base, QUALITY_FROM)) == "agent" else (
                "the outputs on this machine"
            )  # fmt: skip
            lines.append(f"quality{' on ' + label if label else ''}: of {whose} ({check})")
    return lines


def origin_in_words(origin: Mapping[str, Any]) -> str:
    """Returns the stage that a candidate is from, and the candidate that it changes; empty if neither is known.

    >>> origin_in_words({"stage": 2, "strategy": "evolution", "base": "db01467b527b"})
    'stage 2, from db01467b'
    """
    if "stage" not in origin:
        return ""
    base = f", from {origin['base'][:8]}" if "base" in origin else ""
    return f"stage {origin['stage']}{base}"


def decisions_summary(decisions: Mapping[str, str], space: Space | None) -> str:
    """Returns a candidate's changes in a few words.

    >>> space = Space(tuple(Decision(name, ("fp32", "int8"), "precision", name, "layer") for name in "abc"), "")
    >>> decisions_summary({"a": "int8", "b": "fp32", "c": "int8"}, space)
    '2 of 3 layers int8'
    """
    by_name = {} if space is None else space.by_name
    groups: dict[str, list[str]] = {}
    for name in decisions:
        groups.setdefault(by_name[name].technique if name in by_name else "", []).append(name)
    parts = [part for names in groups.values() for part in _group_summary(names, decisions, by_name)]
    return ", ".join(parts) or UNCHANGED


def _group_summary(names: Sequence[str], decisions: Mapping[str, str], space: Mapping[str, Decision]) -> list[str]:
    changed = [name for name in names if name not in space or decisions[name] != space[name].choices[0]]
    if len(names) == 1:
        return [f"{name} {decisions[name]}" for name in changed]
    counts = Counter(decisions[name] for name in changed)
    total = len(names)
    first = space.get(names[0])
    noun = "groups" if first and first.scope == "module" else "layers"
    parts = []
    for value, count in counts.most_common():
        number = f"all {total}" if count == total else f"{count} of {total}"
        parts.append(f"{number} {noun} {_value_in_words(value, first)}")
    return parts


def _value_in_words(value: str, decision: Decision | None) -> str:
    return value if decision is None else _technique(decision.technique).describe_value(decision, value)


@functools.cache
def _technique(name: str) -> type[Technique]:
    """Returns a technique by name; what all have in common for one that is not installed."""
    from search.techniques import TECHNIQUES, Technique  # takes a while, and the status of a job needs none

    return TECHNIQUES.get(name, Technique)
