"""What is told of a model that its owner has quantised already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_builder import Builder
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from small_jobs import INPUTS, classifier

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.quantised import count_integer_layers
from evaluators.graphs.reference_run import run_once


class Feeds(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self._left = [{"x": np.random.default_rng(0).standard_normal((4, INPUTS)).astype(np.float32)}]

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[type-arg]
        return self._left.pop() if self._left else None


@pytest.fixture
def source(tmp_path: Path) -> Path:
    onnx.save(clean_graph(classifier(2)), tmp_path / "float.onnx")
    return tmp_path / "float.onnx"


def test_a_float_model_has_none() -> None:
    assert count_integer_layers(classifier(2)) == 0


@pytest.mark.parametrize("left", [0, 1])
def test_layers_behind_dequantised_weights(source: Path, tmp_path: Path, left: int) -> None:
    names = [node.name for node in onnx.load(source).graph.node if node.op_type in ("Gemm", "MatMul")]
    quantize_static(source, tmp_path / "q.onnx", Feeds(), nodes_to_exclude=names[:left])
    before = onnx.load(tmp_path / "q.onnx")
    model = clean_graph(before)
    assert count_integer_layers(model) == count_integer_layers(before) == 3 - left
    assert len(layer_groups(model)) == left
    feed = {"x": np.ones((2, INPUTS), np.float32)}
    np.testing.assert_allclose(run_once(model, feed)["logits"], run_once(before, feed)["logits"], atol=1e-5)


def test_integer_operators(source: Path, tmp_path: Path) -> None:
    quantize_dynamic(source, tmp_path / "q.onnx")
    model = clean_graph(onnx.load(tmp_path / "q.onnx"))
    assert count_integer_layers(model) == 3
    assert layer_groups(model) == ()


def test_activations_between_two_scales_are_no_weights() -> None:
    builder = Builder()
    scale, zero = builder.const(0.1), builder.const(3, np.uint8)
    small = builder.op("QuantizeLinear", builder.input("x", ["n", 8]), scale, zero)
    builder.op("MatMul", builder.op("DequantizeLinear", small, scale, zero), builder.weight(8, 4), out="y")
    builder.output("y", shape=["n", 4])
    assert count_integer_layers(builder.model()) == 0
