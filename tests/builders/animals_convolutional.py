"""Convolutional nets, plain and peculiar."""

from __future__ import annotations

import numpy as np
import onnx
from animals import animal, normal
from onnx import TensorProto, helper
from onnx_builder import Builder


def _residual(b: Builder, batch: int | str) -> onnx.ModelProto:
    x = b.input("x", [batch, 3, 16, 16])
    x = b.op("Relu", b.norm(b.conv(x, 3, 16, bias=False), 16))
    y = b.op("Relu", b.norm(b.conv(x, 16, 16, bias=False), 16))
    y = b.norm(b.conv(y, 16, 16, bias=False), 16)
    x = b.op("Relu", b.op("Add", x, y))
    short = b.norm(b.conv(x, 16, 32, 1, stride=2, bias=False), 32)
    y = b.op("Relu", b.norm(b.conv(x, 16, 32, stride=2, bias=False), 32))
    y = b.norm(b.conv(y, 32, 32, bias=False), 32)
    x = b.op("Relu", b.op("Add", y, short))
    x = b.op("Flatten", b.op("GlobalAveragePool", x))
    b.op("Gemm", x, b.weight(10, 32), b.bias(10), transB=1, out="y")
    b.output("y")
    return b.model()


@animal(normal(2, 3, 16, 16), layers=5)
def residual_net_opset_13() -> onnx.ModelProto:
    return _residual(Builder(13), "batch")


@animal(normal(2, 3, 16, 16), layers=5)
def residual_net_fixed_batch_opset_21_without_names() -> onnx.ModelProto:
    return _residual(Builder(21, named=False), 2)


@animal(normal(2, 3, 16, 16), layers=5)
def residual_net_of_constant_nodes_opset_26() -> onnx.ModelProto:
    return _residual(Builder(26, constants=True), "batch")


@animal(normal(1, 8, 16, 16))
def mobile_net() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", ["n", 8, 16, 16])
    six = [b.const(0.0), b.const(6.0)]
    y = b.op("Clip", b.norm(b.conv(x, 8, 24, 1), 24), *six)
    y = b.op("Clip", b.conv(y, 24, 24, group=24), *six)
    squeezed = b.op("ReduceMean", y, axes=[2, 3], keepdims=1)
    gate = b.op("Relu", b.conv(squeezed, 24, 8, 1))
    gate = b.op("Sigmoid", b.conv(gate, 8, 24, 1))
    y = b.op("Mul", y, gate)
    y = b.conv(y, 24, 8, 1)
    x = b.op("Add", x, y)
    y = b.op("HardSwish", b.conv(x, 8, 16, group=4))
    y = b.op("LeakyRelu", b.conv(y, 16, 16), alpha=0.1)
    y = b.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])
    b.conv(y, 16, 6, 1, out="y")
    b.output("y")
    return b.model()


@animal(normal(1, 4, 16, 16))
def u_net_with_transposed_convolutions() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", ["n", 4, 16, 16])
    high = b.op("Relu", b.conv(x, 4, 8))
    low = b.op("MaxPool", high, kernel_shape=[2, 2], strides=[2, 2])
    low = b.op("Relu", b.conv(low, 8, 16))
    up = b.op("ConvTranspose", low, b.weight(16, 8, 2, 2), b.bias(8), strides=[2, 2])
    up = b.op("Relu", b.norm(up, 8))
    scales = b.const([1.0, 1.0, 2.0, 2.0])
    nearest = b.op("Resize", low, "", scales, mode="nearest")
    joined = b.op("Concat", high, up, b.conv(nearest, 16, 4, 1), axis=1)
    y = b.op("Relu", b.conv(joined, 20, 8))
    grouped = b.op("ConvTranspose", y, b.weight(8, 3, 2, 2), b.bias(6), strides=[2, 2], group=2)
    b.norm(grouped, 6)
    b.nodes[-1].output[0] = "y"
    b.output("y")
    return b.model()


@animal(normal(1, 4, 8, 8))
def shuffle_net() -> onnx.ModelProto:
    """Channels are split, shuffled, sliced and joined between the convolutions."""
    b = Builder(17)
    x = b.op("Relu", b.conv(b.input("x", [1, 4, 8, 8]), 4, 16))
    left, right = b.ops("Split", x, outputs=2, axis=1)
    right = b.op("Relu", b.conv(b.conv(right, 8, 8, 1), 8, 8, group=8))
    y = b.op("Reshape", b.op("Concat", left, right, axis=1), b.const([1, 2, 8, 8, 8], np.int64))
    y = b.op("Reshape", b.op("Transpose", y, perm=[0, 2, 1, 3, 4]), b.const([1, 16, 8, 8], np.int64))
    ends = [b.const([start], np.int64) for start in (0, 12)]
    y = b.op("Slice", y, *ends, b.const([1], np.int64))
    b.op("Relu", b.conv(y, 12, 4), out="y")
    b.output("y")
    return b.model()


@animal(normal(2, 4, 40), layers=2)
def convolutions_in_one_dimension() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", [2, 4, 40])
    y = b.op("Relu", b.conv(x, 4, 8, 5, rank=1))
    y = b.op("MaxPool", y, kernel_shape=[2], strides=[2])
    y = b.op("Relu", b.conv(y, 8, 8, 3, rank=1))
    b.op("ReduceMean", y, axes=[-1], keepdims=0, out="y")
    b.output("y")
    return b.model()


@animal(normal(1, 2, 6, 8, 8), layers=2)
def convolutions_in_three_dimensions() -> onnx.ModelProto:
    b = Builder(18)
    y = b.op("Relu", b.conv(b.input("x", [1, 2, 6, 8, 8]), 2, 6, rank=3))
    y = b.conv(y, 6, 6, rank=3)
    b.op("ReduceMean", y, b.const([2, 3, 4], np.int64), keepdims=0, out="y")
    b.output("y")
    return b.model()


@animal(normal(2, 4, 8, 8))
def pre_activation_net() -> onnx.ModelProto:
    b = Builder(17)
    x = b.conv(b.input("x", ["n", 4, 8, 8]), 4, 8)
    y = b.op("Relu", b.norm(x, 8))
    y = b.conv(y, 8, 8)
    y = b.conv(b.op("Relu", b.norm(y, 8)), 8, 8)
    x = b.op("Add", x, y)
    b.op("Relu", b.norm(x, 8), out="y")
    b.output("y")
    return b.model()


@animal(normal(2, 4, 8, 8))
def dense_net_with_padding_and_scales() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", ["n", 4, 8, 8])
    padded = b.op("Pad", x, b.const([0, 0, 1, 0, 0, 0, 1, 2], np.int64))
    y = b.op("Conv", padded, b.weight(8, 4, 3, 3))
    y = b.op("Mul", y, b.const(b.rng.uniform(0.5, 2, (1, 8, 1, 1))))
    y = b.op("Add", b.const(b.rng.standard_normal((8, 1, 1))), y)
    y = b.op("Relu", b.op("Identity", b.op("Dropout", y)))
    z = b.op("Relu", b.conv(y, 8, 8))
    y = b.op("Concat", y, z, axis=1)
    z = b.op("Sum", b.conv(y, 16, 8), b.conv(z, 8, 8, 1))
    b.op("Identity", z, out="y")
    b.output("y")
    return b.model()


@animal(normal(1, 4, 8, 8))
def convolution_read_inside_and_outside() -> onnx.ModelProto:
    """Outputs between the layers, and an If whose branches read a convolution's output."""
    b = Builder(17)
    x = b.input("x", [1, 4, 8, 8])
    seen = b.conv(x, 4, 8, out="seen")
    b.output("seen")
    hidden = b.op("Relu", b.conv(b.op("Relu", seen), 8, 8))
    total = b.op("ReduceSum", x, keepdims=0)
    branches = {}
    for name, kind in (("then_branch", "Neg"), ("else_branch", "Abs")):
        nodes = [helper.make_node(kind, [hidden], [f"{name}_out"])]
        branches[name] = helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)]
        )
    chosen = b.op("If", b.op("Greater", total, b.const(0.0)), **branches)
    b.conv(b.op("Add", chosen, hidden), 8, 4, 1, out="y")
    b.output("y")
    return b.model()


@animal(normal(1, 4, 8, 8))
def pruned_convolutions_with_large_biases() -> onnx.ModelProto:
    b = Builder(17)
    weight = b.rng.standard_normal((8, 4, 3, 3)) * 0.2
    weight[:3] = 0
    weight[3] *= 1e-9
    bias = np.array([1.0, -2.0, 0.0, 3.0, 0.1, 0.2, 0.3, 0.4])
    x = b.input("x", [1, 4, 8, 8])
    y = b.op("Relu", b.op("Conv", x, b.const(weight), b.const(bias), pads=[1, 1, 1, 1]))
    b.conv(y, 8, 4, out="y")
    b.output("y")
    return b.model()
