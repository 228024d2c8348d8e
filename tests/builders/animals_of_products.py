"""Matrix products, and models in which there is hardly anything to quantise."""

from __future__ import annotations

import numpy as np
import onnx
from animals import animal, normal
from onnx import TensorProto, helper
from onnx_builder import Builder


@animal(normal(6, 16))
def perceptron_of_peculiar_gemms() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", [6, 16])
    y = b.op("Relu", b.op("Gemm", x, b.weight(16, 32), b.bias(32), alpha=0.5, beta=2.0))
    y = b.op("Relu", b.op("Gemm", y, b.weight(24, 32), b.const(np.ones((1, 24)) * 0.1), transB=1, alpha=1.5))
    crossed = b.op("Gemm", y, b.weight(6, 24), transA=1, out="crossed")
    b.output("crossed")
    y = b.op("Gemm", y, b.weight(24, 6), b.weight(6, 6))
    y = b.op("Gemm", y, b.weight(6, 6), x_part(b, x), beta=0.5)
    b.op("Gemm", y, b.weight(6, 8), b.const(0.3), out="y")
    b.output("y")
    del crossed
    return b.model()


def x_part(b: Builder, x: str) -> str:
    return b.op("Slice", x, b.const([0], np.int64), b.const([6], np.int64), b.const([1], np.int64))


@animal(lambda rng: {"a": rng.standard_normal((2, 5, 16)).astype(np.float32),
                      "b": rng.standard_normal((2, 5, 16)).astype(np.float32),
                      "shift": rng.integers(0, 3, (2, 1, 1))})  # fmt: skip
def several_inputs_and_outputs() -> onnx.ModelProto:
    b = Builder(17)
    first, second = b.input("a", ["n", "t", 16]), b.input("b", ["n", "t", 16])
    shift = b.input("shift", ["n", 1, 1], TensorProto.INT64)
    shared = b.weight(16, 24)
    left, right = b.op("MatMul", first, shared), b.op("MatMul", second, shared)
    b.op("Relu", b.op("Add", left, b.bias(24)), out="left")
    y = b.op("Add", b.linear(right, 24, 8), b.op("Cast", shift, to=TensorProto.FLOAT), out="right")
    b.op("ArgMax", y, axis=-1, keepdims=0, out="best")
    b.output("left")
    b.output("right")
    b.output("best", TensorProto.INT64)
    return b.model()


@animal(normal(2, 6, 16))
def batched_and_swapped_weights() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", [2, 6, 16])
    y = b.op("MatMul", x, b.weight(2, 16, 16))
    y = b.op("MatMul", b.weight(6, 6), b.op("Relu", y))
    y = b.op("MatMul", y, b.op("Unsqueeze", b.weight(16, 12), b.const([0], np.int64)))
    b.op("MatMul", y, b.op("Transpose", b.weight(4, 12), perm=[1, 0]), out="y")
    b.output("y")
    return b.model()


@animal(normal(3, 40))
def odd_sizes() -> onnx.ModelProto:
    """Inner sizes that no block divides."""
    b = Builder(17)
    y = b.op("Relu", b.linear(b.input("x", ["n", 40]), 40, 17))
    y = b.op("Relu", b.linear(y, 17, 33))
    b.nodes[-1].output[0] = y
    b.op("MatMul", y, b.weight(33, 3), out="y")
    b.output("y")
    return b.model()


@animal(normal(2, 8), layers=0)
def nothing_to_quantize() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", ["n", 8])
    b.op("Softmax", b.op("Tanh", x), axis=-1, out="y")
    b.output("y")
    return b.model()


@animal(lambda rng: {"x": rng.standard_normal((2, 4, 8, 8)).astype(np.float16)}, layers=2)
def half_precision() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", ["n", 4, 8, 8], TensorProto.FLOAT16)
    y = b.op("Relu", b.op("Conv", x, b.const(b.rng.standard_normal((4, 4, 3, 3)) / 6, np.float16)))
    y = b.op("Flatten", b.op("GlobalAveragePool", y))
    b.op("MatMul", y, b.const(b.rng.standard_normal((4, 3)), np.float16), out="y")
    b.output("y", TensorProto.FLOAT16)
    return b.model()


@animal(normal(2, 4, 8, 8), layers=1)
def quantized_already_but_for_one_layer() -> onnx.ModelProto:
    b = Builder(17)
    scale, zero = b.const(0.03), b.const(128, np.uint8)
    weight = b.const(b.rng.integers(-127, 128, (6, 4, 3, 3)), np.int8)
    x = b.input("x", ["n", 4, 8, 8])
    x = b.op("DequantizeLinear", b.op("QuantizeLinear", x, scale, zero), scale, zero)
    w = b.op("DequantizeLinear", weight, b.const(0.003), b.const(0, np.int8))
    y = b.op("Conv", x, w)
    y = b.op("DequantizeLinear", b.op("QuantizeLinear", y, scale, zero), scale, zero)
    y = b.op("Flatten", b.op("Relu", y))
    b.op("Gemm", y, b.weight(216, 4), b.bias(4), out="y")
    b.output("y")
    return b.model()


@animal(normal(2, 12))
def weights_listed_as_inputs() -> onnx.ModelProto:
    b = Builder(17)
    y = b.op("Relu", b.linear(b.input("x", [2, 12]), 12, 12))
    b.op("MatMul", y, b.weight(12, 4), out="y")
    b.output("y")
    model = b.model()
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    model.ir_version = 8
    return model
