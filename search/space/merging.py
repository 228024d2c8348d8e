"""The decisions that several devices leave, as one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from search.space.candidate import Decision


def union(asked: Sequence[Sequence[Decision]]) -> list[Decision]:
    """Every decision that some device has, with every choice that some device has for it.

    Orders are kept: what only a later device has comes behind its own predecessor. A first choice stays the first.

    >>> one, other = Decision("stem", ("fp32", "int8"), "precision"), Decision("stem", ("fp32", "int4"), "precision")
    >>> union([[one], [other, Decision("head", ("fp32", "int8"), "precision")]])[0].choices
    ('fp32', 'int4', 'int8')
    """
    named = {decision.name: decision for decisions in asked for decision in decisions}
    names = _interleaved([[decision.name for decision in decisions] for decisions in asked])
    choices = {
        name: _interleaved([d.choices for decisions in asked for d in decisions if d.name == name]) for name in names
    }
    return [replace(named[name], choices=tuple(choices[name])) for name in names]


def _interleaved(orders: Sequence[Sequence[str]]) -> list[str]:
    found: list[str] = []
    for order in orders:
        place = 0
        for item in order:
            if item not in found:
                found.insert(place, item)
            place = found.index(item) + 1
    return found
