"""Operators between quantised layers that also compute on integers."""

from __future__ import annotations

import numpy as np
import onnx

from evaluators.graphs.graph import Graph, input_of, int_attribute, is_op, text_attribute
from evaluators.quantize.scheme import Scheme

# They move or select values: the result has its input's scale, and nothing is rounded. ONNX Runtime executes all of
# these on integers (DepthToSpace and SpaceToDepth have no such kernel).
MOVERS = (
    "MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Expand", "Tile", "Gather",
    "Resize",
)  # fmt: skip

# They calculate: the result has its own scale.
SUMS = ("Add", "Sum")
CALCULATORS = ("Mul", "Concat", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid")

_DATA_INPUTS = {"Add": 2, "Sum": 2, "Mul": 2}


def data_inputs(node: onnx.NodeProto) -> tuple[str, ...]:
    """Returns the float inputs of a follower (:func:`is_follower`), without shapes and axes."""
    if node.op_type == "Concat":
        return tuple(node.input)
    return tuple(node.input[: _DATA_INPUTS.get(node.op_type, 1)])


def is_follower(node: onnx.NodeProto) -> bool:
    """Returns whether an operator has an integer form if its inputs are quantised; such nodes are called followers."""
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
    """Returns the bounds of a Relu or of a Clip with constant bounds; None for other nodes."""
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


def replaces_clipping(bounds: tuple[float, float], scale: float, zero: int, scheme: Scheme) -> bool:
    """Returns whether quantising saturates exactly at the clipping's bounds, so that the clipping can be removed."""
    for bound, limit in zip(bounds, (scheme.lowest, scheme.highest), strict=True):
        position = np.clip(bound / scale + zero, scheme.lowest - 1.0, scheme.highest + 1.0)
        beyond = position < limit if limit == scheme.lowest else position > limit
        if not beyond and np.rint(position) != limit:
            return False
    return True


def integer_bounds(bounds: tuple[float, float], scale: np.float32, zero: int, scheme: Scheme) -> tuple[int, int]:
    """Returns a clipping's bounds as integers; clipping may follow rounding, because rounding is monotone."""
    limits = np.clip(np.rint(np.asarray(bounds, np.float32) / scale) + zero, scheme.lowest, scheme.highest)
    return int(limits[0]), int(limits[1])
