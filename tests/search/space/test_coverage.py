"""What a space holds and what it does not is said, with the reasons."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from onnx_menagerie import ANIMALS

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from hwprofiles import Precision
from search.space.candidate import Decision, Replacement, Space
from search.space.coverage import coverage
from search.space.coverage_words import coverage_lines

MODEL = clean_graph(ANIMALS["encoder"].build())
GROUPS = layer_groups(MODEL)
SLOW = {"layer": "a", "precision": "int4_weight", "ratio": 0.7, "ci95": [0.69, 0.71], "reason": ""}
SLOWER = SLOW | {"layer": "b", "ratio": 0.5, "ci95": [0.49, 0.51]}
REFUSED = {"layer": "all", "precision": "int8_weight", "reason": "unsupported_op: no kernel"}


def space_of(*precisions: Precision, **more: Any) -> Space:
    found = []
    for group in GROUPS:
        values = tuple(p.value for p in group.precisions if p is Precision.FP32 or p in precisions)
        if len(values) > 1:
            found.append(Decision(f"precision:{group.name}", values, "precision", target=group.name, scope="layer"))
    return Space(tuple(found), "", **more)


def test_layers_are_decided_or_left_alone() -> None:
    found = coverage(MODEL, GROUPS, space_of(*Precision), [])
    nodes = sum(len(group.nodes) for group in GROUPS)
    assert (found["layers"], found["decided"], found["decisions"]) == (nodes + 4, nodes, len(GROUPS))
    assert {one["why"] for one in found["left_alone"]} == {"product of two activations"}
    assert found["left_out"] == []
    assert coverage_lines(found) == [
        f"{nodes} of {nodes + 4} layers decided, 4 left alone: 4 × product of two activations"
    ]
    assert json.loads(json.dumps(found)) == found


def test_a_precision_that_is_left_out_comes_with_the_best_answer() -> None:
    found = coverage(MODEL, GROUPS, space_of(Precision.INT8, Precision.INT8_DYNAMIC), [SLOWER, SLOW, REFUSED])
    weight, four = found["left_out"]
    assert (weight["precision"], weight["ratio"], weight["ci95"]) == ("int8_weight", None, None)
    assert weight["why"] == "unsupported_op: no kernel"
    assert (four["precision"], four["ratio"], four["ci95"]) == ("int4_weight", 0.7, [0.69, 0.71])
    assert coverage_lines(found)[1] == (
        "left out: int8_weight (unsupported_op: no kernel), int4_weight (0.70x, 0.69 to 0.71)"
    )
    table = next(group for group in GROUPS if group.kind == "Gather")
    assert {
        "layer": table.nodes[0],
        "operator": "Gather",
        "why": "no other precision is faster on this device",
    } in found["left_alone"]


def test_a_precision_that_several_runtimes_ruled_out_comes_with_the_answer_of_each() -> None:
    """A runtime whose fp32 is fast may do without one that is as fast as the first runtime's fp32."""
    elsewhere = SLOW | {"runtime": "openvino:bf16", "ratio": 0.95, "ci95": [0.89, 1.01]}
    found = coverage(MODEL, GROUPS, space_of(Precision.INT8, Precision.INT8_DYNAMIC), [SLOWER, elsewhere])
    four = [(one["runtime"], one["ratio"]) for one in found["left_out"] if one["precision"] == "int4_weight"]
    assert four == [("onnxruntime", 0.5), ("openvino:bf16", 0.95)]


def test_what_the_device_was_not_asked_about_is_named() -> None:
    late = {"reason": "not_asked: no time was left for it"}
    rows = [
        {
            "layer": "all",
            "precision": "fp32",
            "runtime": "openvino:f32",
            "reason": "machine_busy: took longer than 6 s",
        },
        SLOW | {"precision": "int8"},
        {"layer": "b", "precision": "int8"} | late,
        {"layer": "all", "precision": "int8_dynamic"} | late,
        REFUSED,
    ]
    found = coverage(MODEL, GROUPS, space_of(*Precision), rows)
    assert found["unanswered"] == [
        {"precision": "fp32", "runtime": "openvino:f32"},
        {"precision": "int8_dynamic", "runtime": "onnxruntime"},
    ]
    assert coverage_lines(found)[-1] == (
        "not benchmarked, for lack of time or because the machine was busy: fp32 in openvino:f32, "
        "int8_dynamic in onnxruntime"
    )
    del found["unanswered"]  # as jobs of earlier versions have it
    assert len(coverage_lines(found)) == 1


def test_what_the_job_does_not_choose_is_not_left_out() -> None:
    found = coverage(MODEL, GROUPS, space_of(Precision.INT8), [], (Precision.FP32, Precision.INT8))
    assert found["left_out"] == []


def test_what_a_runtime_does_without_is_named() -> None:
    replaced = Replacement("openvino", "precision", "int8_dynamic", "fp32")
    other, first = replace(replaced, runtime="openvino:bf16"), replace(replaced, runtime="onnxruntime")
    row, faster = SLOW | {"precision": "int8_dynamic", "runtime": "openvino:bf16"}, SLOW | {"ratio": 3.0}
    everything = space_of(*Precision, replacements=(replaced, other, first))
    found = coverage(MODEL, GROUPS, everything, [faster, row, SLOWER | {"precision": "int8_dynamic"}])
    one, _, alone = found["left_out"]
    assert (one["precision"], one["runtime"], one["ratio"]) == ("int8_dynamic", "openvino", 0.7)
    assert (alone["runtime"], alone["ratio"]) == ("onnxruntime", 0.5)
    assert coverage_lines(found)[1] == (
        "left out: int8_dynamic in openvino and openvino:bf16 (0.70x, 0.69 to 0.71: fp32 is faster there), "
        "int8_dynamic in onnxruntime (0.50x, 0.49 to 0.51: fp32 is faster there)"
    )


def test_formats_that_a_training_decides_count() -> None:
    found = coverage(MODEL, GROUPS, Space((), ""), [], (), {GROUPS[0].name, GROUPS[1].name})
    assert found["decided"] == len(GROUPS[0].nodes) + len(GROUPS[1].nodes)
