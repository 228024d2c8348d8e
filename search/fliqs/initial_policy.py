"""Where a search for formats begins: with about as many bits in every layer as the target allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evaluators.graphs.bit_operations import bits_of
from search.fliqs.cost import Cost

Choices = Mapping[str, Sequence[str]]

_DRAWS, _HALVINGS, _NEAR = 64, 16, 1.01


def beginning(choices: Choices, groups: Sequence[str], cost: Cost, wanted: float) -> list[list[float]]:
    """Logits, a row a decision, of which draws cost ``wanted`` on average, or as near to it as can be.

    The ``groups`` all lean on the same number of bit-operations a multiplication; a format with twice as many, or half,
    is exp(-1/2) as likely as that, one with four times as many exp(-2). From formats drawn evenly, as the paper begins,
    hardly a draw costs what is wanted or has no layer that ruins it, and nothing is learnt of the others. Decisions
    that are no groups begin evenly, and so do all where the fewest bits everywhere cost more than is wanted, as on a
    device that is slower with them in some layer.

    >>> from search.fliqs import Sum
    >>> cost = Sum({"a": {"int2": 4.0, "int4": 16.0, "int8": 64.0}})
    >>> (row,) = beginning({"a": ("int2", "int4", "int8")}, ["a"], cost, 16.0)
    >>> row.index(max(row))
    1
    """
    levels = {name: [_level(value) for value in values] for name, values in choices.items() if name in groups}
    known = [level for row in levels.values() for level in row]
    rng = np.random.default_rng(0)
    # A Latin hypercube: of a cost that adds up over decisions the mean is all but exact.
    places = [(rng.permutation(_DRAWS) + 0.5) / _DRAWS for _ in choices]

    def logits(center: float) -> list[list[float]]:
        return [
            [-0.5 * (level - center) ** 2 for level in levels[name]] if name in levels else [0.0] * len(values)
            for name, values in choices.items()
        ]

    def mean_cost(rows: list[list[float]]) -> float:
        shares = [np.cumsum(np.exp(np.array(row) - max(row))) for row in rows]
        found = [np.searchsorted(one / one[-1], column) for one, column in zip(shares, places, strict=True)]
        draws = (dict(zip(choices, picked, strict=True)) for picked in zip(*found, strict=True))
        return float(np.mean([cost.of({name: choices[name][place] for name, place in one.items()}) for one in draws]))

    evenly_drawn = [[0.0] * len(values) for values in choices.values()]
    if not known:
        return evenly_drawn
    low, high = min(known) - 3, max(known) + 3
    if mean_cost(logits(low)) > wanted * _NEAR:
        return evenly_drawn
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if mean_cost(logits(middle)) > wanted else (middle, high)
    return logits(low)


def evenly(
    choices: Choices, groups: Sequence[str], cost: Cost, most: float, others: Mapping[str, str]
) -> dict[str, str] | None:
    """As many bits in all ``groups`` as cost ``most`` or less, the ``others`` being given; None where none do."""
    found = None
    for level in sorted({_level(name) for group in groups for name in choices[group]}):
        one = dict(others)
        for group in groups:
            fitting = [name for name in choices[group] if _level(name) <= level]
            one[group] = max(fitting, key=_level) if fitting else min(choices[group], key=_level)
        if cost.of(one) <= most:
            found = one
    return found


def _level(name: str) -> float:
    """How many doublings of a multiplication's bit-operations."""
    weight, value = bits_of(name)
    return math.log2(weight * value)
