"""Random inputs of a model without data: shapes, types and ranges that its graph accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwprofiles.errors import InvalidInput
from search.tasks.onnx import OnnxOptions, OnnxTask
from search.tasks.random_inputs import FEWEST_SAMPLES, MOST_SAMPLES, draw_random_inputs

ROWS = 7


def model(
    inputs: dict[str, tuple[int, list[Any]]], nodes: Sequence[Any] = (), weights: Mapping[str, Any] | None = None
) -> onnx.ModelProto:
    """A model of these inputs (type and shape), which it passes on."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    passed = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in inputs]
    outputs = [helper.make_tensor_value_info(f"{name}_out", kind, shape) for name, (kind, shape) in inputs.items()]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()]
    graph = helper.make_graph([*nodes, *passed], "g", values, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def shape_of(shape: list[Any], kind: int = TensorProto.FLOAT, **others: list[Any]) -> tuple[int, ...]:
    inputs = {"x": (kind, shape), **{name: (TensorProto.FLOAT, more) for name, more in others.items()}}
    return draw_random_inputs(model(inputs), 0).samples["x"].shape[1:]


class TestShapes:
    @pytest.mark.parametrize(
        ("shape", "sample"),
        [
            (["n", 3, 8, 8], (3, 8, 8)),
            ([1, 16], (16,)),
            (["n", 3, "h", "w"], (3, 224, 224)),
            (["n", "seq"], (64,)),
            (["n", "n", 4], (1, 4)),
            (["?", 3, "?", "?"], (3, 224, 224)),
            ([2, 16], (2, 16)),  # no batch axis: one sample at a time
            ([], ()),
        ],
    )
    def test_of_a_sample(self, shape: list[Any], sample: tuple[int, ...]) -> None:
        assert shape_of(shape) == sample

    def test_axes_of_one_name_are_equal(self) -> None:
        inputs = {"a": (TensorProto.FLOAT, ["n", "s"]), "b": (TensorProto.FLOAT, ["n", 2, "s", "s"])}
        samples = draw_random_inputs(model(inputs), 0).samples
        assert samples["b"].shape[1:] == (2, 64, 64)

    def test_the_batch_axis_of_one_input_is_one_inside_another(self) -> None:
        assert shape_of([2, "batch", 8], y=["batch", 4]) == (2, 1, 8)

    def test_there_are_fewer_samples_of_large_inputs(self) -> None:
        assert len(draw_random_inputs(model({"x": (TensorProto.FLOAT, ["n", 4])}), 0).samples["x"]) == MOST_SAMPLES
        large = model({"x": (TensorProto.FLOAT, ["n", 3, 1000, 1000])})
        assert len(draw_random_inputs(large, 0).samples["x"]) == FEWEST_SAMPLES


class TestValues:
    def test_indices_are_rows_of_the_table(self) -> None:
        nodes = [
            helper.make_node("Cast", ["ids"], ["long"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "long"], ["rows"]),
        ]
        drawn = draw_random_inputs(
            model({"ids": (TensorProto.INT32, ["n", "s"])}, nodes, {"table": np.zeros((ROWS, 2), np.float32)}), 0
        )
        assert drawn.samples["ids"].dtype == np.int32
        assert set(np.unique(drawn.samples["ids"])) == set(range(ROWS))
        assert f"ids: 0 to {ROWS - 1}" in drawn.note

    def test_a_number_that_the_graph_compares_with(self) -> None:
        nodes = [helper.make_node("Equal", ["rate", "wide"], ["is_wide"])]
        drawn = draw_random_inputs(model({"rate": (TensorProto.INT64, [])}, nodes, {"wide": np.int64(16000)}), 0)
        assert set(drawn.samples["rate"]) == {16000}

    def test_masks_are_one_and_other_integers_are_bits(self) -> None:
        kinds = {"attention_mask": (TensorProto.INT64, ["n", 9]), "b": (TensorProto.UINT8, ["n", 9])}
        samples = draw_random_inputs(model(kinds), 0).samples
        assert set(np.unique(samples["attention_mask"])) == {1}
        assert set(np.unique(samples["b"])) == {0, 1}

    def test_kinds(self) -> None:
        kinds = {"h": (TensorProto.FLOAT16, ["n", 9]), "b": (TensorProto.BOOL, ["n", 9])}
        samples = draw_random_inputs(model(kinds), 0).samples
        assert {name: values.dtype for name, values in samples.items()} == {"h": np.float16, "b": np.bool_}
        assert samples["h"].std() == pytest.approx(1.0, abs=0.1)

    def test_a_scalar_is_equal_in_all_samples(self) -> None:
        assert len(set(draw_random_inputs(model({"x": (TensorProto.FLOAT, [])}), 0).samples["x"])) == 1

    def test_the_seed_decides(self) -> None:
        of = model({"x": (TensorProto.FLOAT, ["n", 4])})
        first, again, other = (draw_random_inputs(of, seed).samples["x"] for seed in (0, 0, 1))
        assert (first == again).all()
        assert (first != other).any()

    def test_text_cannot_be_random(self) -> None:
        with pytest.raises(InvalidInput, match="'x' takes text"):
            draw_random_inputs(model({"x": (TensorProto.STRING, ["n"])}), 0)


def test_the_task_has_splits_and_a_note_but_no_labels(tmp_path: Path) -> None:
    onnx.save(model({"x": (TensorProto.FLOAT, ["n", 4])}), tmp_path / "m.onnx")
    task = OnnxTask(OnnxOptions(model=Path("m.onnx")), tmp_path)
    splits = [task.inputs(split)["x"] for split in ("calibration", "validation", "test")]
    assert [len(split) for split in splits] == [48, 24, 24]
    assert len(np.unique(np.concatenate(splits), axis=0)) == 96
    assert task.metric_names() == frozenset()
    assert not task.shared_split
    assert "not accuracy" in task.notes[0]
    again, other = (OnnxTask(OnnxOptions(model=Path("m.onnx"), seed=seed), tmp_path) for seed in (0, 1))
    assert task.digest == again.digest != other.digest
    task.check_inference()
