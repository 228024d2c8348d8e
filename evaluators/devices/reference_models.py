"""Writes small models for measuring a device itself, independent of a user's model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Feed = dict[str, NDArray[np.generic]]

_OPSET, _IR = 13, 8
_SIDE = 1024
_READ = 4096

PRODUCT_OPERATIONS = 2 * _SIDE**3
"""Operations of one inference of :func:`write_product`'s model."""

READ_BYTES = 4 * _READ**2
"""Bytes of weights that one inference of :func:`write_reading`'s model reads."""


def write_chain(path: Path) -> Feed:
    """Writes a chain of matrix products that takes about a millisecond; returns a sample."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((256, 256)).astype(np.float32) / 16 for _ in range(8)]
    nodes, previous = [], "x"
    for number in range(len(weights)):
        nodes.append(helper.make_node("MatMul", [previous, f"w{number}"], [f"p{number}"]))
        nodes.append(helper.make_node("Relu", [f"p{number}"], [f"y{number}"]))
        previous = f"y{number}"
    named = [numpy_helper.from_array(weight, f"w{number}") for number, weight in enumerate(weights)]
    _write(path, nodes, ("x", TensorProto.FLOAT, (32, 256)), (previous, TensorProto.FLOAT, (32, 256)), named)
    return {"x": rng.standard_normal((32, 256)).astype(np.float32)}


def write_product(path: Path, *, integers: bool) -> Feed:
    """Writes one large product of floats or 8-bit integers, limited by computing; returns a sample."""
    rng = np.random.default_rng(0)
    shape = (_SIDE, _SIDE)
    if integers:
        weight = numpy_helper.from_array(rng.integers(-127, 128, shape, np.int8), "w")
        nodes = [helper.make_node("MatMulInteger", ["x", "w"], ["y"])]
        _write(path, nodes, ("x", TensorProto.UINT8, shape), ("y", TensorProto.INT32, shape), [weight])
        return {"x": rng.integers(0, 256, shape, np.uint8)}
    weight = numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    _write(path, nodes, ("x", TensorProto.FLOAT, shape), ("y", TensorProto.FLOAT, shape), [weight])
    return {"x": rng.standard_normal(shape).astype(np.float32)}


def write_reading(path: Path) -> Feed:
    """Writes one product of a single row, limited by reading its weights; returns a sample."""
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.standard_normal((_READ, _READ), np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    _write(path, nodes, ("x", TensorProto.FLOAT, (1, _READ)), ("y", TensorProto.FLOAT, (1, _READ)), [weight])
    return {"x": rng.standard_normal((1, _READ)).astype(np.float32)}


def _write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    source: tuple[str, int, Sequence[int]],
    result: tuple[str, int, Sequence[int]],
    weights: Sequence[onnx.TensorProto],
) -> None:
    inputs, outputs = [helper.make_tensor_value_info(*source)], [helper.make_tensor_value_info(*result)]
    graph = helper.make_graph(nodes, "reference", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.save_model(model, str(path))
