"""Formats that use what their target allows."""

from __future__ import annotations

from collections.abc import Mapping

from evaluators.graphs.bit_operations import bits_of
from search.fliqs.cost import Cost


def filled(
    chosen: Mapping[str, str], logs: Mapping[str, Mapping[str, float]], cost: Cost, most: float
) -> dict[str, str]:
    """``chosen``, with more bits for layers as long as that costs ``most`` or less.

    A policy that learns what a model may cost by getting near it ends below as often as above; what it left over is
    spent here. ``logs`` are the logarithms of the probabilities of each group's formats: one group after another gets
    the format that is the least unlikely for what it adds. Nothing becomes cheaper: how unlikely a format is does not
    say what it would break.

    >>> from search.fliqs import Sum
    >>> cost = Sum({"a": {"int4": 1.0, "int8": 4.0}, "b": {"int4": 1.0, "int8": 4.0}})
    >>> logs = {"a": {"int4": -0.1, "int8": -3.0}, "b": {"int4": -0.5, "int8": -1.0}}
    >>> filled({"a": "int4", "b": "int4"}, logs, cost, 6.0)
    {'a': 'int4', 'b': 'int8'}
    """
    found = dict(chosen)
    now = cost.of(found)
    while True:
        changes = [
            ((shares[found[group]] - log) / (new - now), group, name, new)
            for group, shares in logs.items()
            for name, log in shares.items()
            if bits_of(name) > bits_of(found[group]) and now < (new := cost.of(found | {group: name})) <= most
        ]
        if not changes:
            return found
        _, group, name, now = min(changes)
        found[group] = name
