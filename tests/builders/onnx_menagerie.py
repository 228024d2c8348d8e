"""Small models of every kind that a user may bring, each with data to feed it."""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx_builder import Builder

Feed = dict[str, NDArray[np.generic]]
MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Animal:
    """A model and a maker of inputs; ``layers`` is how many groups it has at least (0: exactly none)."""

    name: str
    build: Callable[[], onnx.ModelProto]
    feed: Callable[[np.random.Generator], Feed]
    layers: int = 1

    def feeds(self, count: int = 4, seed: int = 1) -> list[Feed]:
        rng = np.random.default_rng(seed)
        return [self.feed(rng) for _ in range(count)]


ANIMALS: dict[str, Animal] = {}


def _animal(
    feed: Callable[[np.random.Generator], Feed], layers: int = 1
) -> Callable[[Callable[[], onnx.ModelProto]], Callable[[], onnx.ModelProto]]:
    def register(build: Callable[[], onnx.ModelProto]) -> Callable[[], onnx.ModelProto]:
        ANIMALS[build.__name__] = Animal(build.__name__, build, feed, layers)
        return build

    return register


def _normal(*shape: int, name: str = "x") -> Callable[[np.random.Generator], Feed]:
    return lambda rng: {name: rng.standard_normal(shape).astype(np.float32)}


def _ids(batch: int = 2, tokens: int = 12, mask: bool = False) -> Callable[[np.random.Generator], Feed]:
    def feed(rng: np.random.Generator) -> Feed:
        found: Feed = {"ids": rng.integers(0, 100, (batch, tokens))}
        if mask:
            lengths = rng.integers(tokens // 2, tokens + 1, batch)
            found["mask"] = (np.arange(tokens)[None] < lengths[:, None]).astype(np.int64)
        return found

    return feed


# ---------------------------------------------------------------------------------------------------- convolutions


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


@_animal(_normal(2, 3, 16, 16), layers=5)
def residual_net_opset_13() -> onnx.ModelProto:
    return _residual(Builder(13), "batch")


@_animal(_normal(2, 3, 16, 16), layers=5)
def residual_net_fixed_batch_opset_21_without_names() -> onnx.ModelProto:
    return _residual(Builder(21, named=False), 2)


@_animal(_normal(2, 3, 16, 16), layers=5)
def residual_net_of_constant_nodes_opset_26() -> onnx.ModelProto:
    return _residual(Builder(26, constants=True), "batch")


@_animal(_normal(1, 8, 16, 16))
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


@_animal(_normal(1, 4, 16, 16))
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


@_animal(_normal(1, 4, 8, 8))
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


@_animal(_normal(2, 4, 40), layers=2)
def convolutions_in_one_dimension() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", [2, 4, 40])
    y = b.op("Relu", b.conv(x, 4, 8, 5, rank=1))
    y = b.op("MaxPool", y, kernel_shape=[2], strides=[2])
    y = b.op("Relu", b.conv(y, 8, 8, 3, rank=1))
    b.op("ReduceMean", y, axes=[-1], keepdims=0, out="y")
    b.output("y")
    return b.model()


@_animal(_normal(1, 2, 6, 8, 8), layers=2)
def convolutions_in_three_dimensions() -> onnx.ModelProto:
    b = Builder(18)
    y = b.op("Relu", b.conv(b.input("x", [1, 2, 6, 8, 8]), 2, 6, rank=3))
    y = b.conv(y, 6, 6, rank=3)
    b.op("ReduceMean", y, b.const([2, 3, 4], np.int64), keepdims=0, out="y")
    b.output("y")
    return b.model()


@_animal(_normal(2, 4, 8, 8))
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


@_animal(_normal(2, 4, 8, 8))
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


@_animal(_normal(1, 4, 8, 8))
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


@_animal(_normal(1, 4, 8, 8))
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


# -------------------------------------------------------------------------------------------------- matrix products


@_animal(_normal(6, 16))
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


@_animal(lambda rng: {"a": rng.standard_normal((2, 5, 16)).astype(np.float32),
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


@_animal(_normal(2, 6, 16))
def batched_and_swapped_weights() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", [2, 6, 16])
    y = b.op("MatMul", x, b.weight(2, 16, 16))
    y = b.op("MatMul", b.weight(6, 6), b.op("Relu", y))
    y = b.op("MatMul", y, b.op("Unsqueeze", b.weight(16, 12), b.const([0], np.int64)))
    b.op("MatMul", y, b.op("Transpose", b.weight(4, 12), perm=[1, 0]), out="y")
    b.output("y")
    return b.model()


@_animal(_normal(3, 40))
def odd_sizes() -> onnx.ModelProto:
    """Inner sizes that no block divides."""
    b = Builder(17)
    y = b.op("Relu", b.linear(b.input("x", ["n", 40]), 40, 17))
    y = b.op("Relu", b.linear(y, 17, 33))
    b.nodes[-1].output[0] = y
    b.op("MatMul", y, b.weight(33, 3), out="y")
    b.output("y")
    return b.model()


# ------------------------------------------------------------------------------------------------------ transformers


def attention(b: Builder, x: str, size: int, heads: int, mask: str = "") -> str:
    """Multi-head attention as exporters write it."""
    shape = b.const([0, 0, heads, size // heads], np.int64)
    split = [b.op("Reshape", b.linear(x, size, size), shape) for _ in range(3)]
    q, k, v = (b.op("Transpose", y, perm=p) for y, p in zip(split, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])))
    scores = b.op("Div", b.op("MatMul", q, k), b.const(np.sqrt(size / heads)))
    if mask:
        scores = b.op("Add", scores, mask)
    mixed = b.op("MatMul", b.op("Softmax", scores, axis=-1), v)
    joined = b.op("Reshape", b.op("Transpose", mixed, perm=[0, 2, 1, 3]), b.const([0, 0, size], np.int64))
    return b.linear(joined, size, size)


def _gelu(b: Builder, x: str) -> str:
    inner = b.op("Add", b.op("Erf", b.op("Div", x, b.const(np.sqrt(2)))), b.const(1.0))
    return b.op("Mul", b.op("Mul", x, inner), b.const(0.5))


def _written_out(b: Builder, x: str, size: int) -> str:
    """Layer normalisation as it was exported before there was an operator for it."""
    centred = b.op("Sub", x, b.op("ReduceMean", x, axes=[-1]))
    variance = b.op("ReduceMean", b.op("Pow", centred, b.const(2.0)), axes=[-1])
    scaled = b.op("Div", centred, b.op("Sqrt", b.op("Add", variance, b.const(1e-5))))
    return b.op("Add", b.op("Mul", scaled, b.const(np.ones(size))), b.bias(size))


def _encoder(b: Builder, size: int = 32) -> onnx.ModelProto:
    norm = b.layer_norm if b.opset >= 17 else functools.partial(_written_out, b)
    ids, given = b.input("ids", ["n", "t"], TensorProto.INT64), b.input("mask", ["n", "t"], TensorProto.INT64)
    x = b.op("Gather", b.weight(200, size, gain=8), ids)
    x = norm(x, size)
    mask = b.op("Cast", b.op("Unsqueeze", given, b.const([1, 2], np.int64)), to=TensorProto.FLOAT)
    mask = b.op("Mul", b.op("Sub", b.const(1.0), mask), b.const(-10000.0))
    for _ in range(2):
        x = norm(b.op("Add", x, attention(b, x, size, 4, mask)), size)
        hidden = _gelu(b, b.linear(x, size, 2 * size))
        x = norm(b.op("Add", x, b.linear(hidden, 2 * size, size)), size)
    b.op("Identity", x, out="y")
    b.output("y", shape=["n", "t", size])
    return b.model()


@_animal(_ids(mask=True), layers=9)
def encoder() -> onnx.ModelProto:
    return _encoder(Builder(17))


@_animal(_ids(mask=True), layers=9)
def encoder_opset_13() -> onnx.ModelProto:
    return _encoder(Builder(13))


@_animal(_ids(mask=True), layers=9)
def encoder_opset_21_without_names() -> onnx.ModelProto:
    return _encoder(Builder(21, named=False, constants=True))


@_animal(_ids(tokens=8))
def language_model_with_tied_embedding() -> onnx.ModelProto:
    b = Builder(17)
    ids = b.input("ids", ["n", 8], TensorProto.INT64)
    table = b.weight(200, 32, gain=4, name="embedding")
    x = b.op("Gather", table, ids)
    causal = b.const(np.triu(np.full((8, 8), -1e4), 1))
    x = b.layer_norm(b.op("Add", x, attention(b, x, 32, 2, causal)), 32)
    flat = b.op("Reshape", x, b.const([-1, 32], np.int64))
    b.op("Gemm", flat, table, transB=1, out="y")
    b.output("y")
    return b.model()


@_animal(_normal(1, 3, 16, 16))
def vision_transformer() -> onnx.ModelProto:
    b = Builder(17)
    x = b.op("Conv", b.input("x", ["n", 3, 16, 16]), b.weight(32, 3, 4, 4), b.bias(32), strides=[4, 4])
    x = b.op("Transpose", b.op("Reshape", x, b.const([0, 32, 16], np.int64)), perm=[0, 2, 1])
    x = b.op("Add", x, b.weight(1, 16, 32))
    x = b.op("Add", x, attention(b, b.layer_norm(x, 32), 32, 4))
    x = b.op("ReduceMean", b.layer_norm(x, 32), axes=[1], keepdims=0)
    b.op("Gemm", x, b.weight(32, 5), b.bias(5), out="y")
    b.output("y")
    return b.model()


@_animal(_normal(1, 6, 16))
def operators_of_the_runtime() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", ["n", 6, 16])
    y = b.op("Attention", x, b.weight(16, 48), b.bias(48), domain=MICROSOFT, num_heads=2)
    ones, zeros = b.const(np.ones(16)), b.const(np.zeros(16))
    y = b.op("SkipLayerNormalization", x, y, ones, zeros, domain=MICROSOFT)
    y = b.op("BiasGelu", b.op("MatMul", y, b.weight(16, 32)), b.bias(32), domain=MICROSOFT)
    y = b.op("FusedMatMul", y, b.weight(32, 16), domain=MICROSOFT, alpha=0.5)
    b.op("MatMul", b.op("QuickGelu", y, domain=MICROSOFT), b.weight(16, 4), out="y")
    b.output("y")
    return b.model()


# ------------------------------------------------------------------------------------------------- recurrent, experts


def _recurrent(b: Builder, kind: str, x: str, size: int, hidden: int, ways: int, *states: str) -> list[str]:
    gates = 4 if kind == "LSTM" else 3
    inputs = [x, b.const(b.rng.standard_normal((ways, gates * hidden, size)) * 0.3)]
    inputs.append(b.const(b.rng.standard_normal((ways, gates * hidden, hidden)) * 0.3))
    inputs.append(b.const(b.rng.standard_normal((ways, 2 * gates * hidden)) * 0.1))
    inputs += ["", *states] if states else []
    direction = "bidirectional" if ways == 2 else "forward"
    outputs = 3 if kind == "LSTM" else 2
    return b.ops(kind, *inputs, outputs=outputs, hidden_size=hidden, direction=direction)


@_animal(_normal(7, 2, 12))
def recurrent_nets_time_first() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", [7, 2, 12])
    y, last, _ = _recurrent(b, "LSTM", x, 12, 8, 2)
    y = b.op("Reshape", b.op("Transpose", y, perm=[0, 2, 1, 3]), b.const([0, 0, -1], np.int64))
    y, _ = _recurrent(b, "GRU", y, 16, 8, 1)
    b.linear(b.op("Squeeze", y, b.const([1], np.int64)), 8, 5)
    b.nodes[-1].output[0] = "y"
    b.op("Identity", last, out="state")
    b.output("y")
    b.output("state")
    return b.model()


@_animal(lambda rng: {"x": rng.standard_normal((3, 7, 12)).astype(np.float32),
                      "h": rng.standard_normal((1, 3, 8)).astype(np.float32),
                      "c": rng.standard_normal((1, 3, 8)).astype(np.float32)})  # fmt: skip
def recurrent_net_batch_first_with_states() -> onnx.ModelProto:
    b = Builder(14)
    x = b.op("Transpose", b.input("x", ["n", "t", 12]), perm=[1, 0, 2])
    states = b.input("h", [1, "n", 8]), b.input("c", [1, "n", 8])
    y, _, cell = _recurrent(b, "LSTM", x, 12, 8, 1, *states)
    y = b.op("Transpose", b.op("Squeeze", y, b.const([1], np.int64)), perm=[1, 0, 2])
    b.op("MatMul", y, b.weight(8, 4), out="y")
    b.op("Identity", cell, out="cell")
    b.output("y")
    b.output("cell")
    return b.model()


@_animal(_normal(10, 16))
def mixture_of_dense_experts() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", ["n", 16])
    gates = b.linear(x, 16, 4)
    values, places = b.ops("TopK", gates, b.const([2], np.int64), outputs=2, axis=-1)
    values = b.op("Softmax", values, axis=-1)
    experts = []
    for _ in range(4):
        hidden = b.op("Relu", b.op("Gemm", x, b.weight(16, 24), b.bias(24)))
        experts.append(b.op("Unsqueeze", b.op("Gemm", hidden, b.weight(24, 16)), b.const([1], np.int64)))
    stacked = b.op("Concat", *experts, axis=1)
    index = b.op("Expand", b.op("Unsqueeze", places, b.const([2], np.int64)), b.const([1, 1, 16], np.int64))
    chosen = b.op("GatherElements", stacked, index, axis=1)
    weighted = b.op("Mul", chosen, b.op("Unsqueeze", values, b.const([2], np.int64)))
    b.op("ReduceSum", weighted, b.const([1], np.int64), keepdims=0, out="y")
    b.output("y")
    return b.model()


@_animal(_normal(10, 16))
def mixture_of_routed_experts() -> onnx.ModelProto:
    """Each expert sees the rows that chose it; the last expert is never chosen."""
    b = Builder(17)
    x = b.input("x", ["n", 16])
    router = b.rng.standard_normal((16, 3)) * 0.2
    shift = b.const([0.0, 0.0, -1e6])
    best = b.op("ArgMax", b.op("Add", b.op("MatMul", x, b.const(router)), shift), axis=-1, keepdims=0)
    result = b.op("Mul", x, b.const(0.0))
    for expert in range(3):
        mine = b.op("Equal", best, b.const(expert, np.int64))
        rows = b.op("Transpose", b.op("NonZero", mine), perm=[1, 0])
        part = b.op("GatherND", x, rows)
        part = b.op("Gemm", b.op("Relu", b.linear(part, 16, 24)), b.weight(24, 16), b.bias(16))
        result = b.op("ScatterND", result, rows, part)
    b.op("Identity", result, out="y")
    b.output("y")
    return b.model()


@_animal(_normal(4, 16))
def expert_chosen_by_if() -> onnx.ModelProto:
    b = Builder(17)
    x = b.linear(b.input("x", [4, 16]), 16, 16)
    outer = b.weight(16, 16)
    branches = {}
    for name in ("then_branch", "else_branch"):
        weight = numpy_helper.from_array((b.rng.standard_normal((16, 16)) / 4).astype(np.float32), f"{name}_weight")
        nodes = [
            helper.make_node("MatMul", [x, f"{name}_weight"], [f"{name}_inner"]),
            helper.make_node("MatMul", [f"{name}_inner", outer], [f"{name}_out"]),
        ]
        shown = [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)]
        branches[name] = helper.make_graph(nodes, name, [], shown, [weight])
    y = b.op("If", b.op("Greater", b.op("ReduceMax", x, keepdims=0), b.const(2.0)), **branches)
    b.op("MatMul", b.op("Relu", y), outer, out="y")
    b.output("y")
    return b.model()


# --------------------------------------------------------------------------------------------------- hardly anything


@_animal(_normal(2, 8), layers=0)
def nothing_to_quantize() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", ["n", 8])
    b.op("Softmax", b.op("Tanh", x), axis=-1, out="y")
    b.output("y")
    return b.model()


@_animal(lambda rng: {"x": rng.standard_normal((2, 4, 8, 8)).astype(np.float16)}, layers=0)
def half_precision() -> onnx.ModelProto:
    b = Builder(17)
    x = b.input("x", ["n", 4, 8, 8], TensorProto.FLOAT16)
    y = b.op("Relu", b.op("Conv", x, b.const(b.rng.standard_normal((4, 4, 3, 3)) / 6, np.float16)))
    y = b.op("Flatten", b.op("GlobalAveragePool", y))
    b.op("MatMul", y, b.const(b.rng.standard_normal((4, 3)), np.float16), out="y")
    b.output("y", TensorProto.FLOAT16)
    return b.model()


@_animal(_normal(2, 4, 8, 8), layers=1)
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


@_animal(_normal(2, 12))
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


# ------------------------------------------------------------------------------------------------------ from torch


def exported(module: object, example: tuple[object, ...], names: list[str], **options: object) -> onnx.ModelProto:
    """A torch module through the older exporter, whose deprecation warnings stay here."""
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, example, buffer, dynamo=False, input_names=names, output_names=["y"], opset_version=17, **options
        )
    return onnx.ModelProto.FromString(buffer.getvalue())


@_animal(_normal(2, 9, 32))
def torch_encoder_layer() -> onnx.ModelProto:
    import torch

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
    module = torch.nn.Sequential(layer, torch.nn.Linear(32, 5)).eval()
    for flag in (False,):
        torch.backends.mha.set_fastpath_enabled(flag)
    try:
        return exported(module, (torch.randn(2, 9, 32),), ["x"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


@_animal(_normal(3, 5, 10))
def torch_recurrent_batch_first() -> onnx.ModelProto:
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(10, 8, num_layers=2, batch_first=True)
            self.gru = torch.nn.GRU(8, 8, batch_first=True)
            self.last = torch.nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.gru(self.lstm(x)[0])[0][:, -1])

    torch.manual_seed(0)
    return exported(Net().eval(), (torch.randn(3, 5, 10),), ["x"])


@_animal(_normal(2, 3, 16, 16))
def torch_convolutional_net() -> onnx.ModelProto:
    import torch
    from torch import nn

    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.SiLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Hardswish(), nn.Conv2d(8, 16, 1), nn.ReLU6(), nn.MaxPool2d(2),
        nn.ConvTranspose2d(16, 8, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip
    module.train()
    for _ in range(4):
        module(torch.randn(8, 3, 16, 16))
    return exported(module.eval(), (torch.randn(2, 3, 16, 16),), ["x"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
