"""Where a search for formats begins."""

from __future__ import annotations

import numpy as np
import pytest

from search.fliqs.cost import AdditiveCost
from search.fliqs.initial_policy import highest_uniform_bits, initial_logits
from search.policies.table import TablePolicy

BITS = {"int2": 2, "int3": 3, "int4": 4, "int6": 6, "int8": 8, "e4m3": 8, "fp32": 32}
SIZES = {"a": 1.0, "b": 10.0, "c": 3.0, "d": 30.0}
COST = AdditiveCost({group: {name: size * bits**2 for name, bits in BITS.items()} for group, size in SIZES.items()})
NAMES = ("int2", "int3", "int4", "int6", "int8", "e4m3")
CHOICES = dict.fromkeys(SIZES, NAMES)


def even(name: str) -> float:
    return COST.of(dict.fromkeys(SIZES, name))


@pytest.mark.parametrize("level", ["int3", "int4", "int6"])
def test_draws_cost_what_is_wanted(level: str) -> None:
    policy = TablePolicy([len(NAMES)] * 4, seed=0, logits=initial_logits(CHOICES, list(SIZES), COST, even(level)))
    draw_samples = [policy.sample() for _ in range(2000)]
    costs = [COST.of({group: NAMES[place] for group, place in zip(SIZES, one, strict=True)}) for one in draw_samples]
    assert np.mean(costs) == pytest.approx(even(level), rel=0.08)
    shares = policy.probabilities()
    assert np.ptp(shares, axis=0).max() < 1e-6  # large layers and small ones alike
    assert shares[0, NAMES.index("int8")] == pytest.approx(shares[0, NAMES.index("e4m3")])
    assert shares[0].min() > 1e-4  # nothing is ruled out


@pytest.mark.parametrize(("wanted", "likely"), [(even("int2"), "int2"), (1e9, "int8")])
def test_the_ends_are_reached(wanted: float, likely: str) -> None:
    for row in initial_logits(CHOICES, list(SIZES), COST, wanted):
        assert NAMES[row.index(max(row))] == likely


def test_where_fewer_bits_do_not_make_it_cheap_enough_all_is_drawn_evenly() -> None:
    """As on a device on which int8 is slow in one layer: what it is to find has more bits there."""
    cost = AdditiveCost({"a": {"int8": 9.0, "fp32": 4.0}, "b": {"int8": 1.0, "fp32": 4.0}})
    choices = dict.fromkeys("ab", ("fp32", "int8"))
    assert initial_logits(choices, ["a", "b"], cost, 5.0) == [[0.0, 0.0], [0.0, 0.0]]


def test_other_decisions_begin_evenly() -> None:
    cost = AdditiveCost(COST.groups, fixed=1.0)
    rows = initial_logits({**CHOICES, "width": ("8", "16")}, list(SIZES), cost, even("int4"))
    assert rows[-1] == [0, 0]
    assert initial_logits({"width": ("8", "16")}, [], AdditiveCost({}, fixed=1.0), 1.0) == [[0, 0]]
    assert initial_logits({}, [], AdditiveCost({}, fixed=1.0), 1.0) == []


@pytest.mark.parametrize("name", ["int2", "int4", "int8"])
def test_as_many_bits_everywhere_as_fit(name: str) -> None:
    assert highest_uniform_bits(CHOICES, list(SIZES), COST, even(name), {}) == dict.fromkeys(SIZES, name)
    assert highest_uniform_bits(CHOICES, list(SIZES), COST, even(name) * 1.1, {"width": "8"}) == {
        **dict.fromkeys(SIZES, name), "width": "8",
    }  # fmt: skip


def test_where_groups_have_other_choices_each_has_its_nearest() -> None:
    choices = {"a": ("int8",), "b": ("int2", "int6"), "c": NAMES, "d": NAMES}
    found = {"a": "int8", "b": "int2", "c": "int4", "d": "int4"}
    assert highest_uniform_bits(choices, list(SIZES), COST, COST.of(found), {}) == found


def test_where_nothing_fits_there_is_none() -> None:
    assert highest_uniform_bits(CHOICES, list(SIZES), COST, even("int2") * 0.9, {}) is None
