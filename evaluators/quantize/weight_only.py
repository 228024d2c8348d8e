"""Weight-only int8 and int4: weights are stored in blocks of few bits; products are computed in floats."""

from __future__ import annotations

import onnx

from evaluators.graphs.graph import input_of, int_attribute, is_op
from evaluators.graphs.model import MICROSOFT
from evaluators.quantize.dynamic import float_product_input
from evaluators.quantize.graph_edit import GraphEdit
from hwprofiles.precision import Precision


def make_weight_only(
    edit: GraphEdit, node: onnx.NodeProto, precision: Precision, *, block_size: int, integer_compute: bool
) -> None:
    """Replaces a MatMul or Gemm by MatMulNBits, an embedding's Gather by one of int8 rows."""
    if is_op(node, "Gather"):
        _embedding(edit, node)
        return
    transposed = is_op(node, "Gemm") and bool(int_attribute(node, "transB", 0))
    weight = edit.source.weights.blocks(node.input[1], precision.weight_bits, transposed=transposed)
    nodes, tensor = float_product_input(edit, node)
    inputs = [tensor, edit.add(weight.packed), edit.add(weight.scales)]
    inputs.append("" if weight.zeros is None else edit.add(weight.zeros))
    bias, output = input_of(node, 2), node.output[0]
    total = edit.source.graph.only_reader(output)
    if not bias and total is not None and is_op(total, "Add"):
        operands = [name for name in total.input if name != output]
        if len(operands) == 1 and _is_row(edit, operands[0], weight.outputs):
            edit.replace(total, [])
            bias, output = operands[0], total.output[0]
    inside = _is_row(edit, bias, weight.outputs)
    product = edit.name(output, "product") if bias and not inside else output
    if inside:
        inputs += ["", bias]
    while not inputs[-1]:
        inputs.pop()
    options = {"K": weight.inputs, "N": weight.outputs, "bits": precision.weight_bits, "block_size": block_size}
    options["accuracy_level"] = 4 if integer_compute else 0
    nodes.append(edit.node("MatMulNBits", inputs, [product], name=node.name, domain=MICROSOFT, **options))
    if bias and not inside:
        nodes.append(edit.node("Add", [product, bias], [output]))
    edit.replace(node, nodes)


def _is_row(edit: GraphEdit, tensor: str, size: int) -> bool:
    """Returns whether a tensor is a constant ``(size,)``, which MatMulNBits can add as its bias."""
    constant = edit.source.graph.initializers.get(tensor)
    return constant is not None and list(constant.dims) == [size]


def _embedding(edit: GraphEdit, node: onnx.NodeProto) -> None:
    """Stores rows as int8 with one scale each: two Gathers, a Cast and a Mul, all standard operators."""
    weight = edit.source.weights.int8(node.input[0], axis=0)
    integers, _, _ = edit.add_weight(weight)
    output, ids = node.output[0], node.input[1]
    rows, floats = edit.name(output, "int8"), edit.name(output, "float")
    nodes = [
        edit.node("Gather", [integers, ids], [rows], name=node.name, axis=0),
        edit.node("Cast", [rows], [floats], to=onnx.TensorProto.FLOAT),
    ]
    if weight.scales.ndim:
        column = edit.add_array(edit.name(node.input[0], "int8_row_scale"), weight.scales[:, None])
        factor = edit.name(output, "factor")
        nodes.append(edit.node("Gather", [column, ids], [factor], axis=0))
    else:
        factor = weight.scale.name
    nodes.append(edit.node("Mul", [floats, factor], [output]))
    edit.replace(node, nodes)
