"""A small network of a few milliseconds that needs no training, and the same network with known extra work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIDE, LAYERS = 64, 28, 8
_SHAPE = (1, CHANNELS, SIDE, SIDE)
_WIDTH = 256
MOST_ROWS = CHANNELS * SIDE * SIDE // _WIDTH


def write_network(path: Path, extra_rows: int = 0, name: str = "small") -> dict[str, NDArray[np.float32]]:
    """Writes 3x3 convolutions in a row, and beside them a product of ``extra_rows`` rows with a matrix of 256 x 256,
    which the result needs, at most :data:`MOST_ROWS`; returns a sample that suits every network of this kind."""
    rng = np.random.default_rng(0)
    weights, nodes, last = [], [], "x"
    for number in range(LAYERS):
        values = rng.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32) / 24
        weights.append(numpy_helper.from_array(values, f"w{number}"))
        nodes.append(helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], kernel_shape=[3, 3], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [last := f"y{number}"]))
    nodes.append(helper.make_node("ReduceMean", [last], ["mean"], axes=[1, 2, 3], keepdims=0))
    result = "mean"
    if extra_rows:
        matrix = rng.standard_normal((_WIDTH, _WIDTH)).astype(np.float32) / 16
        weights += [
            numpy_helper.from_array(matrix, "matrix"),
            numpy_helper.from_array(np.array([0], np.int64), "start"),
            numpy_helper.from_array(np.array([extra_rows * _WIDTH], np.int64), "end"),
            numpy_helper.from_array(np.array([extra_rows, _WIDTH], np.int64), "rows"),
            numpy_helper.from_array(np.array([-1], np.int64), "flat"),
        ]
        nodes += [
            helper.make_node("Reshape", ["x", "flat"], ["values"]),
            helper.make_node("Slice", ["values", "start", "end"], ["some"]),
            helper.make_node("Reshape", ["some", "rows"], ["left"]),
            helper.make_node("MatMul", ["left", "matrix"], ["product"]),
            helper.make_node("ReduceMean", ["product"], ["extra"], axes=[0, 1], keepdims=0),
            helper.make_node("Add", ["mean", "extra"], [result := "sum"]),
        ]
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, _SHAPE)],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, (1,))], weights,
    )  # fmt: skip
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return {"x": rng.standard_normal(_SHAPE).astype(np.float32)}
