"""The cheapest assignment, also where a value is dear alone and cheap among its like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from hwprofiles.errors import Unreachable
from search.fliqs.cost import FLOAT, AdditiveCost
from search.fliqs.least_cost import least_cost
from search.fliqs.one_shot import OneShotSearch
from search.fliqs.options import OneShotOptions
from search.training.quantised import QuantisedLayers

CHOICES = ("fp32", "int8", "int4")


@dataclass(frozen=True)
class Chain:
    """Layers one after another; between two of different formats a conversion is paid for."""

    layers: tuple[str, ...]
    costs: Mapping[str, float]
    conversion: float

    def of(self, formats: Mapping[str, str]) -> float:
        named = [formats.get(layer, FLOAT) for layer in self.layers]
        changes = sum(one != other for one, other in pairwise(named))
        return sum(self.costs[name] for name in named) + self.conversion * changes


CHAIN = Chain(("a", "b", "c", "d"), {"fp32": 10.0, "int8": 9.0, "int4": 9.5}, 2.5)


def test_values_that_pay_only_together() -> None:
    """Each alone costs more than it saves."""
    choices = dict.fromkeys(CHAIN.layers, CHOICES)
    assert all(CHAIN.of({layer: "int8"}) > CHAIN.of({}) for layer in CHAIN.layers)
    assert least_cost(choices, CHAIN, 0.0) == 36.0
    assert least_cost(choices, CHAIN, 40.0) <= 40.0


def test_a_layer_that_lacks_the_format_stays_out() -> None:
    choices = dict.fromkeys(CHAIN.layers, CHOICES) | {"d": ("fp32",)}
    assert least_cost(choices, CHAIN, 0.0) == 3 * 9.0 + 10.0 + 2.5


@pytest.mark.parametrize("seed", range(3))
def test_it_is_exact_where_costs_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = {f"layer{n}": {name: float(rng.uniform(1, 9)) for name in CHOICES} for n in range(6)}
    exact = sum(min(costs.values()) for costs in groups.values())
    assert least_cost(dict.fromkeys(groups, CHOICES), AdditiveCost(groups), 0.0) == pytest.approx(exact)


def test_nothing_to_choose() -> None:
    assert least_cost({}, AdditiveCost({}, fixed=3.0), 0.0) == 3.0


def test_a_target_that_neighbours_reach_together_is_not_refused() -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    module = nn.Sequential(*(nn.Linear(8, 8) for _ in CHAIN.layers))
    groups = {name: [str(place)] for place, name in enumerate(CHAIN.layers)}

    def made(target: float) -> OneShotSearch:
        layers = QuantisedLayers(module, groups, CHOICES[1:])
        choices = dict.fromkeys(groups, CHOICES)
        return OneShotSearch(layers, choices, CHAIN, target, lambda step: 0.0, 24, OneShotOptions(), 0)

    made(40.0 / 36.0)
    with pytest.raises(Unreachable, match=r"at most 1\.11 times"):
        made(1.2)
