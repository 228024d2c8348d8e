"""Formats that use what their target allows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from evaluators.graphs.bit_operations import bits_of
from search.fliqs.cost import AdditiveCost
from search.fliqs.spend_rest import spend_rest

VALUES = {"int4": 16.0, "int6": 36.0, "int8": 64.0}


def draw_samples(seed: int) -> tuple[dict[str, dict[str, float]], AdditiveCost]:
    """A policy over five groups, and what they cost."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 5)
    logs = {str(i): dict(zip(VALUES, np.log(rng.dirichlet([0.5] * 3)).tolist(), strict=True)) for i in range(5)}
    return logs, AdditiveCost(
        {str(i): {name: bits * float(size) for name, bits in VALUES.items()} for i, size in enumerate(sizes)}
    )


def likeliest(logs: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    return {group: max(values, key=values.__getitem__) for group, values in logs.items()}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("level", [20.0, 36.0, 50.0])
def test_nothing_more_would_fit_and_no_layer_loses_bits(seed: int, level: float) -> None:
    logs, cost = draw_samples(seed)
    before = likeliest(logs)
    most = cost.of(dict.fromkeys(logs, "int4")) * level / 16
    found = spend_rest(before, logs, cost, most)
    assert all(bits_of(found[group]) >= bits_of(before[group]) for group in logs)
    if cost.of(before) > most:
        assert found == before
        return
    assert cost.of(found) <= most
    dearer = [cost.of(found | {group: name}) for group in logs for name in VALUES]
    assert not [other for other in dearer if cost.of(found) < other <= most]


@pytest.mark.parametrize("seed", range(10))
def test_what_uses_its_target_up_stays(seed: int) -> None:
    logs, cost = draw_samples(seed)
    before = likeliest(logs)
    assert spend_rest(before, logs, cost, cost.of(before)) == before


def test_where_more_bits_are_cheaper_they_are_no_use_of_the_rest() -> None:
    """As on a device that is slower in int8: what costs more and has fewer bits is not taken either."""
    cost = AdditiveCost({"a": {"fp32": 1.0, "int8": 2.0}, "b": {"fp32": 3.0, "int8": 1.0}})
    logs = {group: {"fp32": -0.7, "int8": -0.7} for group in "ab"}
    assert spend_rest({"a": "fp32", "b": "int8"}, logs, cost, 3.5) == {"a": "fp32", "b": "int8"}
    assert spend_rest({"a": "fp32", "b": "int8"}, logs, cost, 4.0) == {"a": "fp32", "b": "fp32"}


def test_all_at_once_that_may_and_others_that_may_not() -> None:
    """A network's other decisions are given, and stay."""
    cost = AdditiveCost({"a": {"int4": 1.0, "int8": 4.0}, "width": {"8": 1.0, "16": 2.0}})
    assert spend_rest({"a": "int4", "width": "8"}, {"a": {"int4": 0.0, "int8": -9.0}}, cost, 99.0) == {
        "a": "int8", "width": "8",
    }  # fmt: skip
