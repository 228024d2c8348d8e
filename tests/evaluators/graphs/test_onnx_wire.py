"""What may be opened on a remote device: whole models that keep their weights to themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_builder import Builder
from onnx_menagerie import ANIMALS

from evaluators.graphs.wire import check_model_file
from hwprofiles.errors import InvalidInput

LIMIT = 10**9


def linear() -> onnx.ModelProto:
    builder = Builder()
    builder.op("MatMul", builder.input("x", ["n", 4]), builder.weight(4, 4), out="y")
    builder.output("y", shape=["n", 4])
    return builder.model()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def external(tensor: TensorProto) -> TensorProto:
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    return tensor


def weight() -> TensorProto:
    return numpy_helper.from_array(np.ones((2, 2), np.float32), "w")


def in_a_subgraph(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [], [external(weight())])
    node = model.graph.node.add(op_type="If", input=["c"], output=["z"])
    node.attribute.append(helper.make_attribute("then_branch", inner))


def in_a_function(model: onnx.ModelProto) -> None:
    function = model.functions.add(name="f", domain="d")
    constant = function.node.add(op_type="Constant", output=["c"])
    constant.attribute.append(helper.make_attribute("value", external(weight())))


def in_a_sparse_tensor(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(external(weight()))


HIDDEN: dict[str, Callable[[onnx.ModelProto], object]] = {
    "an initializer": lambda model: external(model.graph.initializer[0]),
    "a constant": lambda model: model.graph.node.add(op_type="Constant", output=["c"]).attribute.append(
        helper.make_attribute("value", external(weight()))
    ),
    "a list of tensors": lambda model: model.graph.node.add(op_type="X").attribute.append(
        helper.make_attribute("many", [weight(), external(weight())])
    ),
    "a subgraph": in_a_subgraph,
    "a function": in_a_function,
    "a sparse tensor": in_a_sparse_tensor,
    "training": lambda model: model.training_info.add().algorithm.initializer.append(external(weight())),
}


# What torch exports takes seconds to make, and is framed like the others.
QUICK = [name for name in ANIMALS if not name.startswith("torch_")]


@pytest.mark.parametrize("name", QUICK)
def test_models_of_every_kind_are_whole(name: str, path: Path) -> None:
    onnx.save(ANIMALS[name].build(), path)
    check_model_file(path, LIMIT)


@pytest.mark.parametrize("place", HIDDEN)
def test_weights_elsewhere_are_found_wherever_they_are_named(place: str, path: Path) -> None:
    model = linear()
    HIDDEN[place](model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidInput, match="refers to weights in other files"):
        check_model_file(path, LIMIT)


def test_a_location_alone_is_enough(path: Path) -> None:
    """A runtime may look at the data although the flag is not set."""
    model = linear()
    external(model.graph.initializer[0]).data_location = TensorProto.DEFAULT
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidInput, match="other files"):
        check_model_file(path, LIMIT)


def test_one_that_is_too_large_is_not_even_read(path: Path) -> None:
    onnx.save(linear(), path)
    size = path.stat().st_size
    check_model_file(path, size)
    with pytest.raises(InvalidInput, match=f"has {size} bytes, more than the {size - 1}") as caught:
        check_model_file(path, size - 1)
    assert "--max-model-bytes" in caught.value.hint


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


WRAPPED = 2**29
"""Readers of 32-bit tags take a field of so much more for the field itself."""

JUNK = {
    "empty": b"",
    "text": b"this is no model at all",
    "a pickle": b"\x80\x04K\x01.",
    "an archive": b"PK\x03\x04" + bytes(200),
    "zeros": bytes(100),
    "no graph": onnx.ModelProto(ir_version=10).SerializeToString(),
    "a length past the end": b"\x08\x0a\x3a\xff\xff\x7f",
    "a number without an end": b"\x08" + b"\xff" * 20,
    "a group": b"\x08\x0a\x3b",
    "a number past the last": linear().SerializeToString() + _field(WRAPPED, b""),
    "weights elsewhere, under a number that wraps": b"\x08\x0a" + _field(7, _field(5, _field(WRAPPED + 13, b""))),
}


@pytest.mark.parametrize("kind", JUNK)
def test_what_is_no_model(kind: str, path: Path) -> None:
    path.write_bytes(JUNK[kind])
    with pytest.raises(InvalidInput, match=r"is not an ONNX model"):
        check_model_file(path, LIMIT)


def test_a_model_that_was_cut_off(path: Path) -> None:
    whole = linear().SerializeToString()
    for length in range(1, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput):
            check_model_file(path, LIMIT)


def test_graphs_within_graphs_end_somewhere(path: Path) -> None:
    data = b""
    for _ in range(300):
        for number in (6, 5, 1):  # attribute.g, node.attribute, graph.node
            data = bytes([number << 3 | 2]) + _varint(len(data)) + data
    data = b"\x08\x0a" + b"\x3a" + _varint(len(data)) + data
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match="nested too deeply"):
        check_model_file(path, LIMIT)


def test_random_changes_never_raise_anything_else(path: Path) -> None:
    whole = linear().SerializeToString()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 4):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            check_model_file(path, LIMIT)
        except InvalidInput:
            refused += 1
    assert refused > 20
