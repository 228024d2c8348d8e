"""Weight-only int8 and int4: weights are stored in few bits by blocks, products computed in float."""

from __future__ import annotations

import onnx

from evaluators.graphs.graph import input_of, int_attribute, is_op
from evaluators.graphs.model import MICROSOFT
from evaluators.quantize.dynamic import float_product_input
from evaluators.quantize.graph_edit import Draft
from hwprofiles.precision import Precision


def make_weight_only(
    draft: Draft, node: onnx.NodeProto, precision: Precision, *, block_size: int, integer_compute: bool
) -> None:
    """Replaces a MatMul or Gemm by MatMulNBits, an embedding's Gather by one of int8 rows."""
    if is_op(node, "Gather"):
        _embedding(draft, node)
        return
    transposed = is_op(node, "Gemm") and bool(int_attribute(node, "transB", 0))
    weight = draft.source.weights.blocks(node.input[1], precision.weight_bits, transposed=transposed)
    nodes, tensor = float_product_input(draft, node)
    inputs = [tensor, draft.add(weight.packed), draft.add(weight.scales)]
    inputs.append("" if weight.zeros is None else draft.add(weight.zeros))
    bias, output = input_of(node, 2), node.output[0]
    total = draft.source.graph.only_reader(output)
    if not bias and total is not None and is_op(total, "Add"):
        others = [name for name in total.input if name != output]
        if len(others) == 1 and _is_row(draft, others[0], weight.outputs):
            draft.replace(total, [])
            bias, output = others[0], total.output[0]
    inside = _is_row(draft, bias, weight.outputs)
    product = draft.name(output, "product") if bias and not inside else output
    if inside:
        inputs += ["", bias]
    while not inputs[-1]:
        inputs.pop()
    options = {"K": weight.inputs, "N": weight.outputs, "bits": precision.weight_bits, "block_size": block_size}
    options["accuracy_level"] = 4 if integer_compute else 0
    nodes.append(draft.node("MatMulNBits", inputs, [product], name=node.name, domain=MICROSOFT, **options))
    if bias and not inside:
        nodes.append(draft.node("Add", [product, bias], [output]))
    draft.replace(node, nodes)


def _is_row(draft: Draft, tensor: str, size: int) -> bool:
    """Whether a tensor is a constant ``(size,)``, which the operator adds by itself."""
    known = draft.source.graph.initializers.get(tensor)
    return known is not None and list(known.dims) == [size]


def _embedding(draft: Draft, node: onnx.NodeProto) -> None:
    """Rows as int8 with a scale each: two Gathers, a Cast and a Mul, all standard operators."""
    weight = draft.source.weights.int8(node.input[0], axis=0)
    integers, _, _ = draft.add_weight(weight)
    output, ids = node.output[0], node.input[1]
    rows, floats = draft.name(output, "int8"), draft.name(output, "float")
    nodes = [
        draft.node("Gather", [integers, ids], [rows], name=node.name, axis=0),
        draft.node("Cast", [rows], [floats], to=onnx.TensorProto.FLOAT),
    ]
    if weight.scales.ndim:
        column = draft.add_array(draft.name(node.input[0], "int8_row_scale"), weight.scales[:, None])
        factor = draft.name(output, "factor")
        nodes.append(draft.node("Gather", [column, ids], [factor], axis=0))
    else:
        factor = weight.scale.name
    nodes.append(draft.node("Mul", [floats, factor], [output]))
    draft.replace(node, nodes)
