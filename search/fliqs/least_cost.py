"""The cheapest assignment of values to decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from search.fliqs.cost import Cost

Assignment = dict[str, str]


def least_cost(choices: Mapping[str, Sequence[str]], cost: Cost, enough: float) -> float:
    """The least cost that is found, or the first that is ``enough`` or less.

    Exact where costs add up: each decision's cheapest value is the one that is the cheapest alone. Where neighbours
    share a cost (a conversion between layers of different formats), a value may be dear alone and cheap among its like:
    so the search also starts from equal values everywhere, and goes on from each start by one decision at a time.
    """
    least = float("inf")
    for start in _starts(choices, cost):
        least = min(least, _descended(start, choices, cost, enough))
        if least <= enough:
            break
    return least


def _starts(choices: Mapping[str, Sequence[str]], cost: Cost) -> Iterator[Assignment]:
    alone = {name: {value: cost.of({name: value}) for value in values} for name, values in choices.items()}
    for which in (min, max):
        yield {name: which(costs, key=costs.__getitem__) for name, costs in alone.items()}
    for value in dict.fromkeys(value for values in choices.values() for value in values):
        cheapest = {name: min(costs, key=costs.__getitem__) for name, costs in alone.items()}
        yield {name: value if value in values else cheapest[name] for name, values in choices.items()}


def _descended(start: Assignment, choices: Mapping[str, Sequence[str]], cost: Cost, enough: float) -> float:
    chosen, least, before = start, cost.of(start), float("inf")
    while least < before and least > enough:
        before = least
        for name, values in choices.items():
            for value in values:
                found = cost.of(chosen | {name: value})
                if found < least:
                    chosen, least = chosen | {name: value}, found
    return least
