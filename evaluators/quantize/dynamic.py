"""Dynamic int8: activations are quantised while the model runs, weights beforehand.

MatMul and Gemm become the standard chain that ONNX Runtime fuses to MatMulIntegerToFloat, bias included:
DynamicQuantizeLinear, MatMulInteger, Cast, Mul. Consumers of one tensor share its DynamicQuantizeLinear.
"""

from __future__ import annotations

import onnx

from evaluators.graphs.graph import attributes, input_of, int_attribute, is_op
from evaluators.graphs.model import MICROSOFT
from evaluators.quantize.graph_edit import Draft


def make_dynamic(draft: Draft, node: onnx.NodeProto) -> None:
    """Replaces a MatMul, Gemm, LSTM or Attention by its dynamic int8 form."""
    if is_op(node, "LSTM"):
        _lstm(draft, node)
    elif is_op(node, "Attention", domain=MICROSOFT):
        _attention(draft, node)
    else:
        _product(draft, node)


def float_product_input(draft: Draft, node: onnx.NodeProto) -> tuple[list[onnx.NodeProto], str]:
    """The left matrix of a MatMul or Gemm as a tensor, with the nodes that make it (a Transpose for transA)."""
    tensor = node.input[0]
    if not (is_op(node, "Gemm") and int_attribute(node, "transA", 0)):
        return [], tensor
    known = draft.shared(tensor, "transposed")
    if known:
        return [], known[0]
    (name,) = draft.share(tensor, "transposed", (draft.name(tensor, "transposed"),))
    return [draft.node("Transpose", [tensor], [name], perm=[1, 0])], name


def _quantized_input(draft: Draft, tensor: str) -> tuple[list[onnx.NodeProto], tuple[str, ...]]:
    """uint8 values, scale and zero point of a tensor, measured at run time."""
    known = draft.shared(tensor, "dynamic")
    if known:
        return [], known
    names = tuple(draft.name(tensor, role) for role in ("dynamic", "dynamic_scale", "dynamic_zero"))
    draft.share(tensor, "dynamic", names)
    return [draft.node("DynamicQuantizeLinear", [tensor], names)], names


def _product(draft: Draft, node: onnx.NodeProto) -> None:
    transposed = is_op(node, "Gemm") and bool(int_attribute(node, "transB", 0))
    weight = draft.source.weights.int8(node.input[1], axis=1, transposed=transposed)
    integers, scale, zero = draft.add_weight(weight)
    nodes, tensor = float_product_input(draft, node)
    before, (values, value_scale, value_zero) = _quantized_input(draft, tensor)
    output = node.output[0]
    sums, floats, factor = (draft.name(output, role) for role in ("int32", "float", "factor"))
    bias = input_of(node, 2)
    product = draft.name(output, "product") if bias else output
    nodes += [
        *before,
        draft.node("MatMulInteger", [values, integers, value_zero, zero], [sums], name=node.name),
        draft.node("Cast", [sums], [floats], to=onnx.TensorProto.FLOAT),
        draft.node("Mul", [value_scale, scale], [factor]),
        draft.node("Mul", [floats, factor], [product]),
    ]
    if bias:
        nodes.append(draft.node("Add", [product, bias], [output]))
    draft.replace(node, nodes)


def _lstm(draft: Draft, node: onnx.NodeProto) -> None:
    """DynamicQuantizeLSTM takes its weights transposed: ``(directions, inputs, 4 * hidden)``."""
    inputs = [*node.input, *[""] * (8 - len(node.input))]
    extra: list[str] = []
    for position in (1, 2):
        integers, scale, zero = draft.add_weight(draft.source.weights.recurrent(inputs[position]))
        inputs[position] = integers
        extra += [scale, zero]
    known = {key: value for key, value in attributes(node).items() if key != "layout"}
    draft.replace(
        node,
        [draft.node("DynamicQuantizeLSTM", [*inputs, *extra], node.output, name=node.name, domain=MICROSOFT, **known)],
    )


def _attention(draft: Draft, node: onnx.NodeProto) -> None:
    weight = draft.source.weights.int8(node.input[1], axis=1)
    integers, scale, zero = draft.add_weight(weight)
    before, (values, value_scale, value_zero) = _quantized_input(draft, node.input[0])
    inputs = [values, integers, node.input[2], value_scale, scale, input_of(node, 3), value_zero, zero]
    quantized = draft.node("QAttention", inputs, node.output, name=node.name, domain=MICROSOFT, **attributes(node))
    draft.replace(node, [*before, quantized])
