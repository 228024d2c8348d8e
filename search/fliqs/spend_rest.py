"""Spends what a cost target leaves unused on formats of more bits."""

from __future__ import annotations

from collections.abc import Mapping

from evaluators.graphs.bit_operations import bits_of
from search.fliqs.cost import Cost


def spend_rest(
    chosen: Mapping[str, str], logs: Mapping[str, Mapping[str, float]], cost: Cost, most: float
) -> dict[str, str]:
    """Raises the bits of groups in ``chosen`` as long as the cost stays at or below ``most``.

    A policy that learns to meet a target ends below it as often as above; this spends the difference. ``logs`` are the
    log probabilities of each group's formats: in each step one group gets the format that loses the least probability
    per added cost. Never lowers bits: a format's probability does not tell what it would break.

    >>> from search.fliqs import AdditiveCost
    >>> cost = AdditiveCost({"a": {"int4": 1.0, "int8": 4.0}, "b": {"int4": 1.0, "int8": 4.0}})
    >>> logs = {"a": {"int4": -0.1, "int8": -3.0}, "b": {"int4": -0.5, "int8": -1.0}}
    >>> spend_rest({"a": "int4", "b": "int4"}, logs, cost, 6.0)
    {'a': 'int4', 'b': 'int8'}
    """
    formats = dict(chosen)
    now = cost.of(formats)
    while True:
        changes = [
            ((shares[formats[group]] - log) / (new - now), group, name, new)
            for group, shares in logs.items()
            for name, log in shares.items()
            if bits_of(name) > bits_of(formats[group]) and now < (new := cost.of(formats | {group: name})) <= most
        ]
        if not changes:
            return formats
        _, group, name, now = min(changes)
        formats[group] = name
