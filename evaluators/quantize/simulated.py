"""Simulates number formats that runtimes do not execute: weights are stored in the format, layers compute in floats.

A layer computes what it computed in training: standard operators round its input, and look up and scale its weights,
which a runtime does once, when it loads the model. QuantizeLinear and DequantizeLinear are avoided even for integer
formats: ONNX Runtime replaces a product of dequantised weights by MatMulNBits, which rounds its input to 8 bits again;
and with integers on both sides of a layer it rounds the bias to multiples of the product of both scales, which is
coarse for a format of few values.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from evaluators.graphs.graph import int_attribute, is_op
from evaluators.graphs.model import opset_of
from evaluators.graphs.number_format import NumberFormat, number_format
from evaluators.quantize.graph_edit import GraphEdit
from evaluators.quantize.weights import Floats
from hwprofiles.errors import BuildFailed

PACKED_BITS = 4
"""Formats of at most this many bits are stored as two values per byte, others as one value in one or two bytes."""

PACKED_OPSET, PACKED_IR = 21, 10
"""First versions of ONNX with 4-bit tensors; models of a lower opset store one value per byte."""


def can_simulate(edit: GraphEdit, node: onnx.NodeProto) -> bool:
    """Returns whether a node is a convolution or matrix product with constant float32 weights."""
    if not is_op(node, "Conv", "Gemm", "MatMul"):
        return False
    weight = edit.source.graph.constant_tensor(node.input[1])
    return (
        weight is not None and weight.data_type == TensorProto.FLOAT and len(weight.dims) > 1 and 0 not in weight.dims
    )


def simulate_layer(edit: GraphEdit, node: onnx.NodeProto, name: str, bound: float) -> None:
    """Rounds a layer's weights and input to the named format; ``bound`` is the input's largest value.

    Raises:
        BuildFailed: the node cannot be simulated (:func:`can_simulate`).
    """
    if not can_simulate(edit, node):
        raise BuildFailed(
            f"the layer {node.name!r} cannot be {name}", "formats are for Conv, Gemm and MatMul with constant weights"
        )
    form = number_format(name)
    copy = edit.editable(node)
    before, copy.input[0] = _round_input(edit, node.input[0], form, np.float32(bound / form.largest))
    weights, copy.input[1] = _weight(edit, node, form)
    edit.precede(node, [*before, *weights])


def _round_input(
    edit: GraphEdit, tensor: str, form: NumberFormat, scale: np.float32
) -> tuple[list[onnx.NodeProto], str]:
    """Creates nodes that round a tensor to the format's values times ``scale``; returns them and the result's name."""
    role = f"{form.name}_{float(scale)!r}"
    shared = edit.shared(tensor, role)
    if shared:
        return [], shared[0]
    base = edit.name(tensor, role)
    nodes: list[onnx.NodeProto] = []

    def append(op_type: str, *inputs: str | float) -> str:
        """Appends an operator on tensors and constants; returns its result's name."""
        names = [value if isinstance(value, str) else _constant(edit, value) for value in inputs]
        nodes.append(edit.node(op_type, names, [f"{base}_{len(nodes)}"]))
        return str(nodes[-1].output[0])

    units = append("Clip", append("Div", tensor, float(scale)), -form.largest, form.largest)
    if form.is_integer:
        rounded = append("Round", units)
    else:
        # The steps are 2 ** (max(floor(log2|units|), exponent) - mantissa). Magnitudes below 1.5 * 2 ** exponent are
        # raised to it, which has the same exponent: 0 and inexact logarithms are safe there. Elsewhere an inexact
        # logarithm gives a neighbouring exponent only next to a power of two, which is the nearest value either way.
        magnitude = append("Max", append("Abs", units), 1.5 * 2.0**form.exponent)
        exponent = append("Floor", append("Mul", append("Log", magnitude), 1 / math.log(2)))
        step = append("Mul", append("Pow", 2.0, exponent), 2.0**-form.mantissa)
        rounded = append("Mul", append("Round", append("Div", units, step)), step)
    result = append("Mul", rounded, float(scale))
    edit.share(tensor, role, (result,))
    return nodes, result


def _constant(edit: GraphEdit, value: float) -> str:
    return edit.add_array(edit.name(repr(value), "float"), np.asarray(value, np.float32))


def _weight(edit: GraphEdit, node: onnx.NodeProto, form: NumberFormat) -> tuple[list[onnx.NodeProto], str]:
    """Stores a layer's weights in the format; returns nodes that restore them and the result's name."""
    weight = node.input[1]
    value = edit.source.weights.floats(weight)
    by_rows = is_op(node, "Conv") or (is_op(node, "Gemm") and int_attribute(node, "transB", 0))
    axis = 0 if by_rows else value.ndim - 1
    role = f"{form.name}_{axis}"
    shared = edit.shared(weight, role)
    if shared:
        return [], shared[0]
    base = edit.name(weight, role)
    (result,) = edit.share(weight, role, (f"{base}_float",))
    shape = [-1 if i == axis else 1 for i in range(value.ndim)]
    peaks = np.abs(value).max(axis=tuple(i for i in range(value.ndim) if i != axis)).reshape(shape)
    scales = peaks / np.float32(form.largest)
    scales[scales == 0] = 1
    values = form.round(value / scales)
    units, scale = f"{base}_units", edit.add_array(f"{base}_scale", scales)
    packed = opset_of(edit.source.model) >= PACKED_OPSET and form.bits <= PACKED_BITS
    if form.is_integer:
        kind = TensorProto.INT4 if packed else TensorProto.INT8
        stored = edit.add(_tensor(values, kind, base))
        nodes = [edit.node("Cast", [stored], [units], to=TensorProto.FLOAT)]
    else:
        kind = TensorProto.UINT4 if packed else TensorProto.UINT8 if form.bits <= 8 else TensorProto.UINT16
        stored, places = edit.add(_tensor(_codes(values, form), kind, base)), f"{base}_places"
        table = edit.add_array(edit.name(form.name, "values"), _values_by_code(form))
        nodes = [
            edit.node("Cast", [stored], [places], to=TensorProto.INT32),
            edit.node("Gather", [table, places], [units]),
        ]
    return [*nodes, edit.node("Mul", [units, scale], [result])], result


def _codes(values: Floats, form: NumberFormat) -> NDArray[np.int64]:
    """Encodes values of the format: the sign bit, then the index of the magnitude among all magnitudes."""
    magnitudes = np.searchsorted(np.asarray(form.values, np.float32), np.abs(values))
    return np.where(values < 0, magnitudes + 2 ** (form.bits - 1), magnitudes)


def _values_by_code(form: NumberFormat) -> Floats:
    """Returns the table of all values by code; 0 for codes that are no number."""
    table = np.zeros((2, 2 ** (form.bits - 1)), np.float32)
    table[0, : len(form.values)] = form.values
    table[1] = -table[0]
    return table.ravel()


def _tensor(values: NDArray[np.generic], kind: int, name: str) -> TensorProto:
    return numpy_helper.from_array(values.astype(helper.tensor_dtype_to_np_dtype(kind)), name)
