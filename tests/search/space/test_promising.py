"""What the whole model gained by is tried first."""

from __future__ import annotations

from typing import Any

import pytest

from search.controller.ending import ending_of
from search.job.spec import Budget
from search.space.candidate import Decision, Space
from search.space.promising import gains_without_trial, promising_settings
from search.strategies import STRATEGIES
from search.testing.strategies import context_of

LAYERS = tuple(Decision(f"precision:l{n}", ("fp32", "int8", "int8_dynamic", "int8_weight"), "precision") for n in "ab")
GRAPH = Decision("graph", ("plain", "fused"), "graph")
RUNTIME = Decision("runtime", ("onnxruntime", "openvino", "openvino:bf16"), "runtime", scope="device")

FIRST = "onnxruntime"


def answer(ratio: float, activations: str = "", **values: str) -> dict[str, Any]:
    figures = {"ratio": ratio, "ci95": [ratio * 0.98, ratio * 1.02], "activations": activations}
    return {"layer": "all", "values": {**values, "runtime": values.get("runtime", FIRST)}, **figures}


ANSWERS = [
    answer(2.25, precision="int8", activations="uint8"),
    answer(2.0, precision="int8", activations="int8"),
    answer(1.01, precision="int8_dynamic"),
    answer(0.6, precision="int8_weight"),
    answer(1.9, runtime="openvino:bf16"),
    answer(2.6, precision="int8", runtime="openvino"),
    answer(1.3, graph="fused", runtime="openvino"),
    answer(3.0, precision="int4_weight"),
    {"layer": "all", "values": {"precision": "int8", "runtime": "openvino:bf16"}, "reason": "build_failed: no"},
    {"layer": "a layer's key", "precision": "int8_weight", "ratio": 9.0, "ci95": [8.9, 9.1]},
    {"layer": "another", "precision": "int8", "ratio": None, "ci95": None, "reason": "crashed: it ended"},
]


def test_the_fastest_come_first_and_what_is_no_choice_is_left_out() -> None:
    assert promising_settings(ANSWERS, (RUNTIME, GRAPH, *LAYERS), FIRST) == (
        (("precision", "int8"), ("runtime", "openvino")),
        (("precision", "int8"),),
        (("runtime", "openvino:bf16"),),
        (("graph", "fused"), ("runtime", "openvino")),
    )
    assert promising_settings(ANSWERS, (GRAPH,), FIRST) == ()
    assert promising_settings([], (RUNTIME, GRAPH, *LAYERS), FIRST) == ()


def test_what_a_technique_of_a_package_gained_is_tried_first_too() -> None:
    ranks = [Decision(f"low_rank:{n}", ("full", "8", "4"), "low_rank", target=n, scope="layer") for n in "ab"]
    rows = [answer(1.5, low_rank="8"), answer(1.7, low_rank="4", precision="int8"), answer(4.0, low_rank="2")]
    assert promising_settings(rows, (*LAYERS, *ranks), FIRST) == (
        (("low_rank", "4"), ("precision", "int8")),
        (("low_rank", "8"),),
    )
    assert promising_settings(rows, LAYERS, FIRST) == ()


def space() -> Space:
    decisions = (RUNTIME, GRAPH, *LAYERS)
    return Space(decisions, "", (), promising_settings(ANSWERS, decisions, FIRST))


def test_uniform_assignments_begin_with_them() -> None:
    with_them, without = space(), Space((RUNTIME, GRAPH, *LAYERS), "")
    order = [candidate.decisions for candidate in with_them.uniform()]
    assert order[0] == with_them.baseline().decisions
    assert order[1] == {
        "runtime": "openvino", "graph": "plain", "precision:la": "int8", "precision:lb": "int8"
    }  # fmt: skip
    assert order[2] == order[1] | {"runtime": "onnxruntime"}
    assert {repr(one) for one in order} == {repr(candidate.decisions) for candidate in without.uniform()}
    assert len(order) == len(without.uniform())


def test_what_gained_and_was_not_tried_is_told_with_its_gain() -> None:
    first, second, *_ = (space().candidate_everywhere(dict(setting)).digest for setting in space().promising)
    left = gains_without_trial(ANSWERS, space(), FIRST, {first, second})
    assert left == [
        {"values": {"runtime": "openvino:bf16"}, "ratio": 1.9, "ci95": [1.9 * 0.98, 1.9 * 1.02]},
        {"values": {"graph": "fused", "runtime": "openvino"}, "ratio": 1.3, "ci95": [1.3 * 0.98, 1.3 * 1.02]},
    ]
    ending = ending_of(Budget(trials=60, minutes=1.0), finished=2, size=99, repeats=False, late=True, untried=left)
    assert ending is not None
    assert ending.text.endswith(
        "faster when benchmarked, but not tried: openvino:bf16 1.90x [1.86, 1.94], fused openvino 1.30x [1.27, 1.33]"
    )
    assert ending.to_dict()["untried"] == tuple(left)


def test_they_survive_json() -> None:
    assert Space.from_dict(space().to_dict()) == space()
    assert "promising" not in Space(LAYERS, "").to_dict()


@pytest.mark.parametrize("name", ["nsga2", "random", "sensitivity"])
def test_they_are_in_the_first_block_of_every_strategy(name: str) -> None:
    kind = STRATEGIES[name]
    strategy = kind(context_of(space()), kind.Options())
    first = [strategy.ask().decisions for _ in range(strategy.batch)]
    wanted = [candidate.decisions for candidate in space().uniform()[1 : 1 + len(space().promising)]]
    assert all(one in first for one in wanted)
