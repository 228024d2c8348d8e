"""Merges the decisions of several devices into one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from search.space.candidate import Decision


def merge_decisions(devices: Sequence[Sequence[Decision]]) -> list[Decision]:
    """Returns every decision that some device has, with every choice that some device has for it.

    Keeps orders: an item that only a later device has is inserted behind its predecessor there. A first choice stays
    the first.

    >>> int8, int4 = Decision("stem", ("fp32", "int8"), "precision"), Decision("stem", ("fp32", "int4"), "precision")
    >>> merge_decisions([[int8], [int4, Decision("head", ("fp32", "int8"), "precision")]])[0].choices
    ('fp32', 'int4', 'int8')
    """
    by_name = {decision.name: decision for decisions in devices for decision in decisions}
    names = _interleave([[decision.name for decision in decisions] for decisions in devices])
    choices = {
        name: _interleave([d.choices for decisions in devices for d in decisions if d.name == name]) for name in names
    }
    return [replace(by_name[name], choices=tuple(choices[name])) for name in names]


def _interleave(orders: Sequence[Sequence[str]]) -> list[str]:
    merged: list[str] = []
    for order in orders:
        place = 0
        for item in order:
            if item not in merged:
                merged.insert(place, item)
            place = merged.index(item) + 1
    return merged
