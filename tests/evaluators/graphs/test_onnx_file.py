"""Files that are read and written tensor by tensor."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper
from onnx_menagerie import ANIMALS

from evaluators.graphs import file as onnx_file
from evaluators.graphs.file import read_proto, size_of, write_proto
from evaluators.graphs.model import load_model, save_model


def large_model(count: int = 3, side: int = 640) -> onnx.ModelProto:
    """Weights above and below what counts as large, one as a list of floats."""
    values = np.arange(side * side, dtype=np.float32).reshape(side, side)
    weights = [numpy_helper.from_array(values + number, f"w{number}") for number in range(count)]
    weights.insert(1, numpy_helper.from_array(np.ones(4, np.float32), "small"))
    weights.append(helper.make_tensor("floats", TensorProto.FLOAT, [side], values[0].tolist()))
    names = [f"w{number}" for number in range(count)]
    nodes = [helper.make_node("Sum", ["x", *names, "floats"], ["s"]), helper.make_node("Identity", ["s"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [side, side]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], weights, doc_string="of the graph")
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, doc_string="a model")


def written(model: onnx.ModelProto) -> bytes:
    file = io.BytesIO()
    write_proto(model, file)
    return file.getvalue()


def test_a_large_model_there_and_back(tmp_path: Path) -> None:
    model = large_model()
    expected = model.SerializeToString(deterministic=True)
    assert written(model) == expected
    assert size_of(model) == len(expected)
    (tmp_path / "model.onnx").write_bytes(expected)
    assert read_proto(tmp_path / "model.onnx") == model


@pytest.mark.parametrize("animal", ANIMALS)
def test_every_model_gives_the_bytes_that_serialising_gives(
    animal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "LARGE_BYTES", 16)
    model = ANIMALS[animal].build()
    expected = model.SerializeToString(deterministic=True)
    assert written(model) == expected
    assert size_of(model) == len(expected)
    (tmp_path / "model.onnx").write_bytes(expected)
    assert read_proto(tmp_path / "model.onnx").SerializeToString(deterministic=True) == expected


def test_fields_in_another_order_are_read_all_the_same(tmp_path: Path) -> None:
    """The graph before the version, and the initializers before the nodes."""
    model = large_model()
    head, tail = onnx.ModelProto(), onnx.ModelProto()
    head.graph.CopyFrom(model.graph)
    tail.CopyFrom(model)
    tail.ClearField("graph")
    path = tmp_path / "model.onnx"
    path.write_bytes(head.SerializeToString() + tail.SerializeToString())
    assert read_proto(path) == model
    # Of two parts of a graph protobuf makes one.
    more = onnx.ModelProto()
    more.graph.doc_string = "another"
    path.write_bytes(path.read_bytes() + more.SerializeToString())
    assert read_proto(path).graph.doc_string == "another"
    assert len(read_proto(path).graph.initializer) == len(model.graph.initializer)


@pytest.mark.parametrize("cut", [1, 1000, -1, -2_000_000])
def test_what_is_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(large_model().SerializeToString()[:cut])
    with pytest.raises(DecodeError):
        read_proto(path)


def test_saving_and_loading_hold_no_second_copy(tmp_path: Path) -> None:
    model, path = large_model(8), tmp_path / "model.onnx"
    largest = len(model.graph.initializer[0].raw_data)
    tracemalloc.start()
    try:
        save_model(model, path)
        load_model(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * largest  # of 8 that there are
