from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_builder import Builder
from onnx_menagerie import ANIMALS

from evaluators.graphs import model as onnx_model
from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.graph import Graph, Names, outer_names
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import input_specs, load_model, opset_of, output_specs, save_model
from evaluators.graphs.reference_run import run_once
from evaluators.tensors import TensorSpec
from hwprofiles.errors import InvalidInput, StorageError


def small(opset: int = 17) -> onnx.ModelProto:
    b = Builder(opset)
    b.op("MatMul", b.input("x", ["n", 64]), b.weight(64, 64), out="y")
    b.output("y", shape=["n", 64])
    return b.model()


def refused(path: Path) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        load_model(path)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def external(folder: Path, location: str) -> Path:
    """A model whose weights lie in ``weights.bin``, but whose file says ``location``."""
    path = folder / "model.onnx"
    onnx.save(small(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    return path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    model = small()
    save_model(model, tmp_path / "model.onnx")
    assert load_model(tmp_path / "model.onnx").SerializeToString() == model.SerializeToString()
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_saving_replaces_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        save_model(small(), path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]


def test_saving_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write into"):
        save_model(small(), tmp_path / "nowhere" / "model.onnx")


def test_missing_file(tmp_path: Path) -> None:
    assert "no model file" in refused(tmp_path / "none.onnx").message
    assert "no model file" in refused(tmp_path).message


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x00" * 64, b"PK\x03\x04" + b"x" * 50, b"\x08\x07"])
def test_not_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(content)
    assert "not an ONNX model" in refused(path).message


def test_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(small().SerializeToString()[:-500])
    refused(path)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(small().SerializeToString().replace(b"MatMul", b"MatM\xe5l"))
    assert "is not an ONNX model, or it is damaged" in refused(path).message


def test_types_that_do_not_exist() -> None:
    model = small()
    model.graph.input[0].type.tensor_type.elem_type = 127
    with pytest.raises(InvalidInput, match="'x' has the unknown type 127"):
        input_specs(model)


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_model, "MAX_MODEL_BYTES", 1000)
    path = tmp_path / "model.onnx"
    path.write_bytes(small().SerializeToString())
    assert "larger than 1000 bytes" in refused(path).message
    with pytest.raises(InvalidInput, match="larger than"):
        save_model(small(), path)


def test_external_weights_in_the_folder_are_loaded(tmp_path: Path) -> None:
    model = load_model(external(tmp_path, "weights.bin"))
    assert not model.graph.initializer[0].external_data
    feed = {"x": np.ones((1, 64), np.float32)}
    np.testing.assert_array_equal(run_once(model, feed)["y"], run_once(small(), feed)["y"])


def test_external_weights_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_model, "MAX_MODEL_BYTES", 5000)
    assert "larger than 5000 bytes" in refused(external(tmp_path, "weights.bin")).message


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/passwd", "a/../../secret.bin", "C:\\x.bin", "..\\x.bin", ""]
)
def test_external_weights_outside(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\x01" * 64 * 64 * 4)
    assert "outside of its folder" in refused(external(folder, location)).message


def test_external_weights_through_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\x01" * 64 * 64 * 4)
    path = external(folder, "link.bin")
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    assert "outside of its folder" in refused(path).message


def test_external_weights_missing_or_short(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    os.truncate(tmp_path / "weights.bin", 100)
    assert "ends before" in refused(path).message
    (tmp_path / "weights.bin").unlink()
    assert "missing" in refused(path).message


def test_unknown_domain(tmp_path: Path) -> None:
    b = Builder()
    b.op("Frobnicate", b.input("x", [1]), out="y", domain="my.company")
    b.output("y")
    (tmp_path / "model.onnx").write_bytes(b.model().SerializeToString())
    assert "'my.company'" in refused(tmp_path / "model.onnx").message


def test_a_graph_that_is_none(tmp_path: Path) -> None:
    model = small()
    model.graph.node[0].input[0] = "nobody"
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert "not valid ONNX" in refused(tmp_path / "model.onnx").message


def test_newer_ir_is_lowered(tmp_path: Path) -> None:
    model = small(26)
    model.ir_version = 13
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    loaded = load_model(tmp_path / "model.onnx")
    assert (loaded.ir_version, opset_of(loaded)) == (10, 26)
    run_once(loaded, {"x": np.ones((1, 64), np.float32)})


@pytest.mark.parametrize(("opset", "wanted"), [(11, 13), (27, 26)])
def test_opset_is_converted(tmp_path: Path, opset: int, wanted: int) -> None:
    (tmp_path / "model.onnx").write_bytes(small(opset).SerializeToString())
    loaded = load_model(tmp_path / "model.onnx")
    assert opset_of(loaded) == wanted
    feed = {"x": np.ones((1, 64), np.float32)}
    np.testing.assert_allclose(run_once(loaded, feed)["y"], run_once(small(), feed)["y"], rtol=1e-6)


@pytest.mark.parametrize("opset", [3, 99])
def test_opset_that_cannot_be_converted(tmp_path: Path, opset: int) -> None:
    b = Builder(opset)
    b.op("Upsample", b.input("x", [1, 1, 4, 4]), out="y", scales=[1.0, 1.0, 2.0, 2.0])
    b.output("y")
    (tmp_path / "model.onnx").write_bytes(b.model().SerializeToString())
    assert "opset" in refused(tmp_path / "model.onnx").message


def test_functions_are_inlined() -> None:
    model = small()
    function = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    model.graph.node[0].output[0] = "half"
    model.graph.node.append(helper.make_node("Twice", ["half"], ["y"], domain="mine"))
    inlined = onnx_model.make_loadable(model)
    assert [node.op_type for node in inlined.graph.node] == ["MatMul", "Add"]
    assert not inlined.functions


def test_specs() -> None:
    model = ANIMALS["several_inputs_and_outputs"].build()
    assert input_specs(model) == (
        TensorSpec("a", "float32", (None, None, 16)),
        TensorSpec("b", "float32", (None, None, 16)),
        TensorSpec("shift", "int64", (None, 1, 1)),
    )
    prepared_model = clean_graph(model)
    assert [spec.name for spec in output_specs(prepared_model)] == ["left", "right", "best"]
    assert output_specs(prepared_model)[2].dtype == "int64"


def test_weights_are_no_inputs() -> None:
    model = ANIMALS["weights_listed_as_inputs"].build()
    assert [spec.name for spec in input_specs(model)] == ["x"]
    assert [value.name for value in onnx_model.make_loadable(model).graph.input] == ["x"]


def test_inputs_that_are_no_tensors() -> None:
    model = small()
    model.graph.input[0].type.CopyFrom(
        helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    )
    with pytest.raises(InvalidInput, match="not a tensor"):
        input_specs(model)


def test_graph_counts_readers_inside_subgraphs() -> None:
    model = ANIMALS["convolution_read_inside_and_outside"].build()
    graph = Graph(model.graph)
    chosen = next(node for node in model.graph.node if node.op_type == "If")
    (hidden,) = outer_names(chosen)
    assert chosen in graph.readers(hidden)
    assert not graph.is_private(hidden)
    assert graph.only_reader(hidden) is None


def test_names_are_unique_and_stable() -> None:
    names = Names({"a", "a_2"})
    assert [names.fresh("a"), names.fresh("a"), names.fresh("b")] == ["a_3", "a_4", "b"]


def test_large_models_are_prepared_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shape inference never sees the weights."""
    from onnx import shape_inference

    seen: list[int] = []
    original: Callable[..., onnx.ModelProto] = shape_inference.infer_shapes

    def watched(model: onnx.ModelProto, **options: object) -> onnx.ModelProto:
        seen.append(len(model.SerializeToString()))
        return original(model, **options)

    monkeypatch.setattr(shape_inference, "infer_shapes", watched)
    b = Builder()
    b.linear(b.input("x", ["n", 4, 512]), 512, 512)
    b.output(b.nodes[-1].output[0], shape=["n", 4, 512])
    layer_groups(clean_graph(b.model()))
    assert seen
    assert max(seen) < 10_000
