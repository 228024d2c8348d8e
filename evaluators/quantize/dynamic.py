"""Dynamic int8: weights are quantised beforehand, activations while the model runs.

MatMul and Gemm become a chain of standard operators that ONNX Runtime fuses, with the bias, to MatMulIntegerToFloat:
DynamicQuantizeLinear, MatMulInteger, Cast, Mul. Readers of one tensor share its DynamicQuantizeLinear.
"""

from __future__ import annotations

import onnx

from evaluators.graphs.graph import attributes, input_of, int_attribute, is_op
from evaluators.graphs.model import MICROSOFT
from evaluators.quantize.graph_edit import GraphEdit


def make_dynamic(edit: GraphEdit, node: onnx.NodeProto) -> None:
    """Replaces a MatMul, Gemm, LSTM or Attention by its dynamic int8 form."""
    if is_op(node, "LSTM"):
        _lstm(edit, node)
    elif is_op(node, "Attention", domain=MICROSOFT):
        _attention(edit, node)
    else:
        _product(edit, node)


def float_product_input(edit: GraphEdit, node: onnx.NodeProto) -> tuple[list[onnx.NodeProto], str]:
    """Returns new nodes and the name of the left matrix of a MatMul or Gemm; ``transA`` becomes a Transpose."""
    tensor = node.input[0]
    if not (is_op(node, "Gemm") and int_attribute(node, "transA", 0)):
        return [], tensor
    shared = edit.shared(tensor, "transposed")
    if shared:
        return [], shared[0]
    (name,) = edit.share(tensor, "transposed", (edit.name(tensor, "transposed"),))
    return [edit.node("Transpose", [tensor], [name], perm=[1, 0])], name


def _quantize_input(edit: GraphEdit, tensor: str) -> tuple[list[onnx.NodeProto], tuple[str, ...]]:
    """Returns new nodes and the names of a tensor's uint8 values, scale and zero point, computed at run time."""
    shared = edit.shared(tensor, "dynamic")
    if shared:
        return [], shared
    names = tuple(edit.name(tensor, role) for role in ("dynamic", "dynamic_scale", "dynamic_zero"))
    edit.share(tensor, "dynamic", names)
    return [edit.node("DynamicQuantizeLinear", [tensor], names)], names


def _product(edit: GraphEdit, node: onnx.NodeProto) -> None:
    transposed = is_op(node, "Gemm") and bool(int_attribute(node, "transB", 0))
    weight = edit.source.weights.int8(node.input[1], axis=1, transposed=transposed)
    integers, scale, zero = edit.add_weight(weight)
    nodes, tensor = float_product_input(edit, node)
    before, (values, value_scale, value_zero) = _quantize_input(edit, tensor)
    output = node.output[0]
    sums, floats, factor = (edit.name(output, role) for role in ("int32", "float", "factor"))
    bias = input_of(node, 2)
    product = edit.name(output, "product") if bias else output
    nodes += [
        *before,
        edit.node("MatMulInteger", [values, integers, value_zero, zero], [sums], name=node.name),
        edit.node("Cast", [sums], [floats], to=onnx.TensorProto.FLOAT),
        edit.node("Mul", [value_scale, scale], [factor]),
        edit.node("Mul", [floats, factor], [product]),
    ]
    if bias:
        nodes.append(edit.node("Add", [product, bias], [output]))
    edit.replace(node, nodes)


def _lstm(edit: GraphEdit, node: onnx.NodeProto) -> None:
    """DynamicQuantizeLSTM takes its weights transposed: ``(directions, inputs, 4 * hidden)``."""
    inputs = [*node.input, *[""] * (8 - len(node.input))]
    extra: list[str] = []
    for position in (1, 2):
        integers, scale, zero = edit.add_weight(edit.source.weights.recurrent(inputs[position]))
        inputs[position] = integers
        extra += [scale, zero]
    options = {key: value for key, value in attributes(node).items() if key != "layout"}
    edit.replace(
        node,
        [edit.node("DynamicQuantizeLSTM", [*inputs, *extra], node.output, name=node.name, domain=MICROSOFT, **options)],
    )


def _attention(edit: GraphEdit, node: onnx.NodeProto) -> None:
    weight = edit.source.weights.int8(node.input[1], axis=1)
    integers, scale, zero = edit.add_weight(weight)
    before, (values, value_scale, value_zero) = _quantize_input(edit, node.input[0])
    inputs = [values, integers, node.input[2], value_scale, scale, input_of(node, 3), value_zero, zero]
    quantized = edit.node("QAttention", inputs, node.output, name=node.name, domain=MICROSOFT, **attributes(node))
    edit.replace(node, [*before, quantized])
