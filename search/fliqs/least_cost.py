"""Search for the cheapest assignment of values to decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from search.fliqs.cost import Cost

Assignment = dict[str, str]


def least_cost(choices: Mapping[str, Sequence[str]], cost: Cost, enough: float) -> float:
    """Searches for the least cost; returns early with the first cost of ``enough`` or less.

    Exact for additive costs. If neighbours share a cost (a conversion between layers of different formats), a value may
    be expensive alone and cheap among equal values; so coordinate descent also starts from equal values everywhere.
    """
    least = float("inf")
    for start in _starts(choices, cost):
        least = min(least, _descend(start, choices, cost, enough))
        if least <= enough:
            break
    return least


def _starts(choices: Mapping[str, Sequence[str]], cost: Cost) -> Iterator[Assignment]:
    alone = {name: {value: cost.of({name: value}) for value in values} for name, values in choices.items()}
    for choose in (min, max):
        yield {name: choose(costs, key=costs.__getitem__) for name, costs in alone.items()}
    for value in dict.fromkeys(value for values in choices.values() for value in values):
        cheapest = {name: min(costs, key=costs.__getitem__) for name, costs in alone.items()}
        yield {name: value if value in values else cheapest[name] for name, values in choices.items()}


def _descend(start: Assignment, choices: Mapping[str, Sequence[str]], cost: Cost, enough: float) -> float:
    chosen, least, before = start, cost.of(start), float("inf")
    while least < before and least > enough:
        before = least
        for name, values in choices.items():
            for value in values:
                candidate_cost = cost.of(chosen | {name: value})
                if candidate_cost < least:
                    chosen, least = chosen | {name: value}, candidate_cost
    return least
