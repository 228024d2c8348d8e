"""How the layers of a file are computed."""

from __future__ import annotations

from pathlib import Path

import onnx


def number_formats(path: Path) -> set[str]:
    """How a file's layers are computed: ``uint8`` and ``int8`` name the activations of static layers."""
    model = onnx.load(path)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    found = set()
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            signed = kinds[node.input[2]] == onnx.TensorProto.INT8
            found.add("int8" if signed else "uint8")
        elif node.op_type in ("DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulInteger"):
            found.add("dynamic")
        elif node.op_type == "MatMulNBits":
            bits = next(attribute.i for attribute in node.attribute if attribute.name == "bits")
            found.add(f"{bits} bits")
    return found
