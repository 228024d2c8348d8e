"""Shapes that nobody can tell without running the model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_builder import Builder
from onnx_menagerie import ANIMALS

from evaluators.graphs import run_shapes
from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.reference_run import run_once
from evaluators.graphs.run_shapes import shapes_in_run
from evaluators.graphs.shapes import tensor_shapes
from evaluators.probing.single_layer import extract_layer, layer_key
from hwprofiles.errors import BuildFailed


@pytest.fixture(autouse=True)
def _no_remembered_shapes() -> Iterator[None]:
    """What a test makes fail is not remembered for the models of others."""
    run_shapes._recent.clear()
    yield
    run_shapes._recent.clear()


OPEN = (
    "encoder_with_a_mask_made_at_run_time",
    "net_with_sizes_worked_out_from_sizes",
    "recogniser_with_numbered_names",
)


@pytest.mark.parametrize("name", ANIMALS)
def test_every_tensor_of_a_run_has_its_shape(name: str) -> None:
    model, feed = clean_graph(ANIMALS[name].build()), ANIMALS[name].feeds(1)[0]
    shapes = shapes_in_run(model, feed)
    made = [name for node in model.graph.node for name in node.output if name]
    for tensor, value in run_once(model, feed, made).items():
        assert shapes[tensor] == value.shape, tensor


@pytest.mark.parametrize("name", OPEN)
def test_layers_have_work_where_inference_stops(name: str) -> None:
    model, feed = clean_graph(ANIMALS[name].build()), ANIMALS[name].feeds(1)[0]
    inferred = layer_groups(model, {key: value.shape for key, value in feed.items()})
    assert any(group.macs == 0 for group in inferred if group.kind != "Gather")
    shapes = shapes_in_run(model, feed)
    groups = layer_groups(model, shapes=shapes)
    assert [group.name for group in groups] == [group.name for group in inferred]
    for group in groups:
        assert group.macs > 0 or group.kind == "Gather"
        assert layer_key(model, group, shapes)
        assert extract_layer(model, group, shapes) is not None


def test_a_model_runs_only_where_inference_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """And once for a model and a feed."""
    runs: list[int] = []
    original = run_shapes.run_once

    def counted(*of: object, **more: object) -> object:
        runs.append(1)
        return original(*of, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(run_shapes, "run_once", counted)
    for name, count in (("mobile_net", 0), (OPEN[0], 1)):
        model, feed = clean_graph(ANIMALS[name].build()), ANIMALS[name].feeds(1)[0]
        for _ in range(3):
            shapes_in_run(model, feed)
        assert len(runs) == count
    longer = {key: np.tile(value, (1, 2)) for key, value in feed.items()}
    assert shapes_in_run(model, longer)["y"] == (1, 24, 5)
    assert len(runs) == 2


def test_no_tensor_leaves_the_run_but_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many values there are between the layers, no more than their sizes is fetched."""
    fetched: list[int] = []
    original = run_shapes.run_once

    def weighed(*of: object, **more: object) -> dict[str, np.ndarray]:
        found = original(*of, **more)  # type: ignore[arg-type]
        fetched.extend(value.nbytes for value in found.values())
        return found

    monkeypatch.setattr(run_shapes, "run_once", weighed)
    shapes_in_run(clean_graph(ANIMALS[OPEN[1]].build()), ANIMALS[OPEN[1]].feeds(1)[0])
    assert fetched
    assert max(fetched) <= 8 * 4


def sequences() -> onnx.ModelProto:
    """A layer behind a sequence of tensors, whose length and whose parts' sizes are known in a run alone."""
    b = Builder(17)
    x = b.input("x", ["n", "t", 8])
    half = b.op("Div", b.op("Gather", b.op("Shape", x), b.const([1], np.int64)), b.const([2], np.int64))
    parts = b.op("SplitToSequence", x, b.op("Concat", half, half, axis=0), axis=1)
    y = b.op("SequenceAt", parts, b.op("Squeeze", b.const([0], np.int64)))
    b.op("MatMul", y, b.weight(8, 4), out="y")
    b.output("y")
    return b.model()


def test_sequences_have_no_shape_and_are_in_nobody_s_way() -> None:
    model, feed = clean_graph(sequences()), {"x": np.ones((2, 6, 8), np.float32)}
    (group,) = layer_groups(model, shapes=shapes_in_run(model, feed))
    assert group.macs == 2 * 3 * 8 * 4
    assert not any("splittosequence" in name for name in shapes_in_run(model, feed))


def test_what_does_not_run_keeps_what_inference_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*of: object, **more: object) -> None:
        raise BuildFailed("the runtime does not load the model")

    monkeypatch.setattr(run_shapes, "run_once", refused)
    run_shapes._recent.clear()
    model, feed = clean_graph(ANIMALS[OPEN[0]].build()), ANIMALS[OPEN[0]].feeds(1)[0]
    sizes = {key: value.shape for key, value in feed.items()}
    assert shapes_in_run(model, feed) == tensor_shapes(model, sizes)


def test_tensors_inside_of_a_loop_are_absent() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going_on"], ["going_on_out"]),
            helper.make_node("Add", ["state", "state"], ["state_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("going_on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, None),
        ],
    )
    b = Builder(17)
    x = b.input("x", ["n", 8])
    often = b.op("Squeeze", b.op("Gather", b.op("Shape", x), b.const([0], np.int64)))
    y = b.op("Loop", often, b.op("Squeeze", b.const([1], bool)), x, body=body)
    b.op("MatMul", y, b.weight(8, 4), out="y")
    b.output("y")
    model = clean_graph(b.model())
    shapes = shapes_in_run(model, {"x": np.ones((3, 8), np.float32)})
    assert shapes["y"] == (3, 4)
    assert "state_out" not in shapes
