"""Initial policy of a search for formats: draws cost about as much as the target allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evaluators.graphs.bit_operations import bits_of
from search.fliqs.cost import Cost

Choices = Mapping[str, Sequence[str]]

_DRAWS, _HALVINGS, _NEAR = 64, 16, 1.01


def initial_logits(choices: Choices, groups: Sequence[str], cost: Cost, target: float) -> list[list[float]]:
    """Computes logits, one row per decision, whose draws cost ``target`` on average, or as near to it as possible.

    All ``groups`` prefer the same number of bit-operations per multiplication; a format with twice or half as many has
    exp(-1/2) of its probability, one with four times as many exp(-2). From the uniform policy of the paper hardly any
    draw meets the cost without a layer that ruins it, so that nothing is learnt about the other layers. Decisions that
    are no groups start uniform; so do all decisions if even the fewest bits everywhere cost more than ``target``, as on
    a device that is slower with them in some layer.

    >>> from search.fliqs import AdditiveCost
    >>> cost = AdditiveCost({"a": {"int2": 4.0, "int4": 16.0, "int8": 64.0}})
    >>> (row,) = initial_logits({"a": ("int2", "int4", "int8")}, ["a"], cost, 16.0)
    >>> row.index(max(row))
    1
    """
    levels = {name: [_level(value) for value in values] for name, values in choices.items() if name in groups}
    all_levels = [level for row in levels.values() for level in row]
    rng = np.random.default_rng(0)
    # A Latin hypercube: makes the mean of an additive cost almost exact.
    places = [(rng.permutation(_DRAWS) + 0.5) / _DRAWS for _ in choices]

    def logits(center: float) -> list[list[float]]:
        return [
            [-0.5 * (level - center) ** 2 for level in levels[name]] if name in levels else [0.0] * len(values)
            for name, values in choices.items()
        ]

    def mean_cost(rows: list[list[float]]) -> float:
        shares = [np.cumsum(np.exp(np.array(row) - max(row))) for row in rows]
        picks = [np.searchsorted(share / share[-1], column) for share, column in zip(shares, places, strict=True)]
        draws = (dict(zip(choices, picked, strict=True)) for picked in zip(*picks, strict=True))
        return float(np.mean([cost.of({name: choices[name][place] for name, place in draw.items()}) for draw in draws]))

    uniform = [[0.0] * len(values) for values in choices.values()]
    if not all_levels:
        return uniform
    low, high = min(all_levels) - 3, max(all_levels) + 3
    if mean_cost(logits(low)) > target * _NEAR:
        return uniform
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if mean_cost(logits(middle)) > target else (middle, high)
    return logits(low)


def highest_uniform_bits(
    choices: Choices, groups: Sequence[str], cost: Cost, most: float, fixed: Mapping[str, str]
) -> dict[str, str] | None:
    """Finds the highest uniform bit width of ``groups`` whose cost is at most ``most``, with the ``fixed`` decisions;
    None if none fits."""
    best = None
    for level in sorted({_level(name) for group in groups for name in choices[group]}):
        formats = dict(fixed)
        for group in groups:
            fitting = [name for name in choices[group] if _level(name) <= level]
            formats[group] = max(fitting, key=_level) if fitting else min(choices[group], key=_level)
        if cost.of(formats) <= most:
            best = formats
    return best


def _level(name: str) -> float:
    """Computes the base-2 logarithm of a multiplication's bit-operations."""
    weight, value = bits_of(name)
    return math.log2(weight * value)
