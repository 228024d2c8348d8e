"""Models whose shapes nobody can tell without running them, and layers that read constants."""

from __future__ import annotations

import numpy as np
import onnx
from animals import Feed, animal, ids, normal
from animals_of_sequences import attention, written_out_norm
from onnx import TensorProto, helper
from onnx_builder import Builder


def _size(b: Builder, x: str, axis: int) -> str:
    """One dimension as a tensor of one value, as exporters read it."""
    return b.op("Gather", b.op("Shape", x), b.const([axis], np.int64))


def _expanded(b: Builder, x: str, *sizes: str) -> str:
    """``x`` expanded as torch's older exporter writes it: where a size is -1, a one takes its place."""
    shape = b.op("Concat", *sizes, axis=0)
    ones = b.op("ConstantOfShape", b.op("Shape", shape), value=helper.make_tensor("one", TensorProto.INT64, [1], [1]))
    open_ones = b.op("Equal", shape, b.op("Mul", ones, b.const(-1, np.int64)))
    return b.op("Expand", x, b.op("Where", open_ones, ones, shape))


@animal(ids(batch=1, mask=True), layers=8)
def encoder_with_a_mask_made_at_run_time() -> onnx.ModelProto:
    """Mask and positions are expanded to sizes that are computed; inference stops there, before the first product."""
    b = Builder(14)
    tokens = b.input("ids", ["n", "t"], TensorProto.INT64)
    mask = b.input("mask", ["n", "t"], TensorProto.INT64)
    batch, length = _size(b, tokens, 0), _size(b, tokens, 1)
    zero, one = b.const([0], np.int64), b.const([1], np.int64)
    places = b.op("Range", *(b.op("Squeeze", end) for end in (zero, length, one)))
    places = b.op("Unsqueeze", places, zero)
    places = _expanded(b, places, batch, length)
    x = b.op("Add", b.op("Gather", b.weight(200, 32, gain=4), tokens), b.op("Gather", b.weight(128, 32), places))
    wide = _expanded(b, b.op("Unsqueeze", mask, b.const([1, 2], np.int64)), batch, one, length, length)
    bias = b.op("Mul", b.op("Sub", b.const(1.0), b.op("Cast", wide, to=TensorProto.FLOAT)), b.const(-1e4))
    for _ in range(2):
        x = written_out_norm(b, b.op("Add", x, attention(b, x, 32, 4, bias)), 32)
        hidden = b.op("Relu", b.linear(x, 32, 64))
        x = written_out_norm(b, b.op("Add", x, b.linear(hidden, 64, 32)), 32)
    b.linear(x, 32, 5)
    b.nodes[-1].output[0] = "y"
    b.output("y")
    return b.model()


@animal(normal(2, 3, 20, 28), layers=5)
def net_with_sizes_worked_out_from_sizes() -> onnx.ModelProto:
    """Dynamic axes, a Slice whose end is computed, a Resize to a computed size and a Reshape behind it."""
    b = Builder(17)
    x = b.input("x", ["n", 3, "h", "w"])
    y = b.op("Relu", b.conv(x, 3, 8, stride=2))
    z = b.op("Relu", b.conv(y, 8, 12, stride=2))
    sizes = b.op("Concat", _size(b, y, 0), b.const([12], np.int64), _size(b, y, 2), _size(b, y, 3), axis=0)
    z = b.op("Resize", z, "", "", sizes, mode="nearest")
    y = b.op("Relu", b.conv(b.op("Concat", y, z, axis=1), 20, 8))
    even = b.op("Mul", b.op("Div", _size(b, y, 3), b.const([2], np.int64)), b.const([2], np.int64))
    y = b.op("Slice", y, b.const([0], np.int64), even, b.const([3], np.int64))
    y = b.op("Relu", b.conv(y, 8, 6))
    area = b.op("Mul", _size(b, y, 2), _size(b, y, 3))
    y = b.op("Reshape", y, b.op("Concat", _size(b, y, 0), b.const([6], np.int64), area, axis=0))
    y = b.op("Transpose", y, perm=[0, 2, 1])
    b.linear(y, 6, 4)
    b.nodes[-1].output[0] = "y"
    b.output("y")
    return b.model()


@animal(lambda rng: {"input:0": rng.standard_normal((1, 16, 16, 3)).astype(np.float32)}, layers=4)
def channels_last_net_with_colons_in_names() -> onnx.ModelProto:
    """As converters from TensorFlow write it: channels last, Transpose around convolutions, sizes by Shape, Cast and
    Slice, tensor names that end in ``:0``."""
    b = Builder(15)
    x = b.input("input:0", ["unk__1", "unk__2", "unk__3", 3])
    y = b.op("Transpose", x, perm=[0, 3, 1, 2], out="model/conv/Conv2D__6:0")
    y = b.op("Relu", b.conv(y, 3, 8, stride=2, out="model/conv/BiasAdd:0"), out="model/conv/Relu__8:0")
    y = b.op("Relu", b.conv(y, 8, 8, group=8))
    y = b.op("Transpose", b.op("Relu", b.conv(y, 8, 12, 1)), perm=[0, 2, 3, 1], out="model/conv_2/Relu:0")
    shape = b.op("Cast", b.op("Shape", y, out="model/flatten/Shape:0"), to=TensorProto.INT32)
    first = b.op(
        "Slice", shape, b.const([0], np.int64), b.const([1], np.int64), b.const([0], np.int64),
        out="model/flatten/strided_slice:0",
    )  # fmt: skip
    rest = b.op("Slice", shape, b.const([1], np.int64), b.const([4], np.int64), b.const([0], np.int64))
    total = b.op("Cast", b.op("ReduceProd", rest, axes=[0], keepdims=1), to=TensorProto.INT64)
    wanted = b.op("Concat", b.op("Cast", first, to=TensorProto.INT64), total, axis=0)
    flat = b.op("Reshape", y, wanted, out="model/flatten/Reshape:0")
    y = b.op("MatMul", flat, b.weight(768, 10), out="model/dense/MatMul:0")
    b.op("Softmax", b.op("Add", y, b.bias(10)), axis=1, out="Identity:0")
    b.output("Identity:0", shape=["unk__1", 10])
    return b.model()


@animal(normal(1, 3, 16, 24), layers=4)
def recogniser_with_numbered_names() -> onnx.ModelProto:
    """As converters from Paddle write it: names such as ``conv2d_0.w_0``, batch norms, HardSwish of parts, a sequence
    whose length is worked out from the width, products with weights of two axes."""
    b = Builder(13)

    def conv(number: int, x: str, cin: int, cout: int, stride: int) -> str:
        weight = b.weight(cout, cin, 3, 3, gain=1.4, name=f"conv2d_{number}.w_0")
        y = b.op(
            "Conv", x, weight, kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2, out=f"conv2d_{number}.tmp_0"
        )
        return b.norm(y, cout)

    x = b.input("x", ["p2o.DynamicDimension.0", 3, "p2o.DynamicDimension.1", "p2o.DynamicDimension.2"])
    y = conv(0, x, 3, 8, 2)
    gate = b.op("Clip", b.op("Add", y, b.const(3.0)), b.const(0.0), b.const(6.0))
    y = b.op("Div", b.op("Mul", y, gate, out="hardswish_0.tmp_0"), b.const(6.0))
    y = b.op("Relu", conv(1, y, 8, 12, 2))
    shape = b.op("Shape", y, out="shape_0.tmp_0")
    parts = [
        b.op("Slice", shape, b.const([axis], np.int64), b.const([axis + 1], np.int64), b.const([0], np.int64))
        for axis in range(4)
    ]
    length = b.op("Mul", parts[2], parts[3], out="tmp_1")
    y = b.op("Reshape", y, b.op("Concat", parts[0], parts[1], length, axis=0), out="reshape2_0.tmp_0")
    y = b.op("Transpose", y, perm=[0, 2, 1], out="transpose_1.tmp_0")
    y = b.op("MatMul", y, b.weight(12, 16, name="linear_3.w_0"), out="linear_4.tmp_0")
    y = b.op("Relu", b.op("Add", y, b.bias(16), out="linear_4.tmp_1"))
    y = b.op("MatMul", y, b.weight(16, 6, name="linear_5.w_0"), out="linear_6.tmp_0")
    b.op("Softmax", b.op("Add", y, b.bias(6)), axis=2, out="softmax_0.tmp_0")
    b.output("softmax_0.tmp_0")
    return b.model()


def _pictures(rng: np.random.Generator) -> Feed:
    return {"x": rng.standard_normal((2, 10, 16)).astype(np.float32)}


@animal(_pictures, layers=5)
def decoder_of_learned_queries() -> onnx.ModelProto:
    """Queries are weights: their own projection reads nothing but constants, also behind a sum of two of them."""
    b = Builder(17)
    x = b.input("x", ["n", "t", 16])
    queries, places = b.weight(1, 4, 16, name="queries"), b.weight(1, 4, 16, name="query_places")
    q = b.linear(b.op("Add", queries, places), 16, 16)
    alone = b.linear(queries, 16, 16)
    k, v = b.linear(x, 16, 16), b.linear(x, 16, 16)
    weights = b.op("Softmax", b.op("MatMul", q, b.op("Transpose", k, perm=[0, 2, 1])), axis=-1)
    y = b.op("Add", b.linear(b.op("MatMul", weights, v), 16, 16), alone)
    y = b.op("Add", y, b.linear(b.op("Relu", b.linear(y, 16, 32)), 32, 16))
    b.op("Gemm", b.op("Reshape", y, b.const([-1, 64], np.int64)), b.weight(64, 3), b.bias(3), out="y")
    b.output("y")
    return b.model()
