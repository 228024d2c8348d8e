"""Transformers, recurrent nets and mixtures of experts."""

from __future__ import annotations

import functools

import numpy as np
import onnx
from animals import animal, ids, normal
from onnx import TensorProto, helper, numpy_helper
from onnx_builder import Builder

MICROSOFT = "com.microsoft"


def attention(b: Builder, x: str, size: int, heads: int, mask: str = "") -> str:
    """Multi-head attention as exporters write it."""
    shape = b.const([0, 0, heads, size // heads], np.int64)
    split = [b.op("Reshape", b.linear(x, size, size), shape) for _ in range(3)]
    q, k, v = (
        b.op("Transpose", y, perm=p) for y, p in zip(split, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    scores = b.op("Div", b.op("MatMul", q, k), b.const(np.sqrt(size / heads)))
    if mask:
        scores = b.op("Add", scores, mask)
    mixed = b.op("MatMul", b.op("Softmax", scores, axis=-1), v)
    joined = b.op("Reshape", b.op("Transpose", mixed, perm=[0, 2, 1, 3]), b.const([0, 0, size], np.int64))
    return b.linear(joined, size, size)


def _gelu(b: Builder, x: str) -> str:
    inner = b.op("Add", b.op("Erf", b.op("Div", x, b.const(np.sqrt(2)))), b.const(1.0))
    return b.op("Mul", b.op("Mul", x, inner), b.const(0.5))


def written_out_norm(b: Builder, x: str, size: int) -> str:
    """Layer normalisation as it was exported before there was an operator for it."""
    centred = b.op("Sub", x, b.op("ReduceMean", x, axes=[-1]))
    variance = b.op("ReduceMean", b.op("Pow", centred, b.const(2.0)), axes=[-1])
    scaled = b.op("Div", centred, b.op("Sqrt", b.op("Add", variance, b.const(1e-5))))
    return b.op("Add", b.op("Mul", scaled, b.const(np.ones(size))), b.bias(size))


def _encoder(b: Builder, size: int = 32) -> onnx.ModelProto:
    norm = b.layer_norm if b.opset >= 17 else functools.partial(written_out_norm, b)
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


@animal(ids(mask=True), layers=9)
def encoder() -> onnx.ModelProto:
    return _encoder(Builder(17))


@animal(ids(mask=True), layers=9)
def encoder_opset_13() -> onnx.ModelProto:
    return _encoder(Builder(13))


@animal(ids(mask=True), layers=9)
def encoder_opset_21_without_names() -> onnx.ModelProto:
    return _encoder(Builder(21, named=False, constants=True))


@animal(ids(tokens=8))
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


@animal(normal(1, 3, 16, 16))
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


@animal(normal(1, 6, 16))
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


def _recurrent(b: Builder, kind: str, x: str, size: int, hidden: int, ways: int, *states: str) -> list[str]:
    gates = 4 if kind == "LSTM" else 3
    inputs = [x, b.const(b.rng.standard_normal((ways, gates * hidden, size)) * 0.3)]
    inputs.append(b.const(b.rng.standard_normal((ways, gates * hidden, hidden)) * 0.3))
    inputs.append(b.const(b.rng.standard_normal((ways, 2 * gates * hidden)) * 0.1))
    inputs += ["", *states] if states else []
    direction = "bidirectional" if ways == 2 else "forward"
    outputs = 3 if kind == "LSTM" else 2
    return b.ops(kind, *inputs, outputs=outputs, hidden_size=hidden, direction=direction)


@animal(normal(7, 2, 12))
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


@animal(lambda rng: {"x": rng.standard_normal((3, 7, 12)).astype(np.float32),
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


@animal(normal(10, 16))
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


@animal(normal(10, 16))
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


@animal(normal(4, 16))
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
