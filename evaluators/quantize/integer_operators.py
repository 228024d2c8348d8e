"""Operators between quantised layers that are computed on integers too."""

from __future__ import annotations

import numpy as np
import onnx

from evaluators.graphs.graph import Graph, input_of, int_attribute, is_op, text_attribute
from evaluators.quantize.scheme import Scheme

# They move values or pick among them: the result has its input's scale, and nothing is rounded. These are the ones that
# ONNX Runtime executes on integers (DepthToSpace and SpaceToDepth have no such kernel).
MOVERS = (
    "MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Expand", "Tile", "Gather",
    "Resize",
)  # fmt: skip

# They calculate: the result has a scale of its own.
SUMS = ("Add", "Sum")
CALCULATORS = ("Mul", "Concat", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid")

_DATA_INPUTS = {"Add": 2, "Sum": 2, "Mul": 2}


def data_inputs(node: onnx.NodeProto) -> tuple[str, ...]:
    """The float inputs of a follower, shapes and axes left out."""
    if node.op_type == "Concat":
        return tuple(node.input)
    return tuple(node.input[: _DATA_INPUTS.get(node.op_type, 1)])


def is_follower(node: onnx.NodeProto) -> bool:
    """Whether an operator has an integer form, given that its inputs are quantised."""
    if not is_op(node, *MOVERS, *SUMS, *CALCULATORS):
        return False
    if node.op_type == "Sum":
        return len(node.input) == 2  # written as Add
    if node.op_type == "MaxPool":
        return len([name for name in node.output if name]) == 1
    if node.op_type == "Resize":
        return text_attribute(node, "mode", "nearest") == "nearest"
    if node.op_type == "AveragePool":
        return not int_attribute(node, "ceil_mode", 0)
    return True


def clipping(node: onnx.NodeProto, graph: Graph) -> tuple[float, float] | None:
    """The bounds of a Relu or of a Clip with constant bounds; None for any other node."""
    if is_op(node, "Relu"):
        return 0.0, float("inf")
    if not is_op(node, "Clip"):
        return None
    bounds = []
    for position, default in ((1, -np.inf), (2, np.inf)):
        name = input_of(node, position)
        value = graph.constant(name) if name else np.asarray(default)
        if value is None:
            return None
        bounds.append(float(value.reshape(())))
    return bounds[0], bounds[1]


def makes_clipping_redundant(bounds: tuple[float, float], scale: float, zero: int, scheme: Scheme) -> bool:
    """Whether quantising saturates exactly where the clipping would, so that the clipping can go."""
    for bound, limit in zip(bounds, (scheme.lowest, scheme.highest), strict=True):
        at = np.clip(bound / scale + zero, scheme.lowest - 1.0, scheme.highest + 1.0)
        beyond = at < limit if limit == scheme.lowest else at > limit
        if not beyond and np.rint(at) != limit:
            return False
    return True


def integer_bounds(bounds: tuple[float, float], scale: np.float32, zero: int, scheme: Scheme) -> tuple[int, int]:
    """What a clipping's bounds are among the integers: rounding is monotone, so that clipping may come after it."""
    found = np.clip(np.rint(np.asarray(bounds, np.float32) / scale) + zero, scheme.lowest, scheme.highest)
    return int(found[0]), int(found[1])
