"""The yardstick: one small convolution against which single models are timed.

Milliseconds of different days cannot be added, because the machine may have been slower on one of them. Each time in a
layer table is therefore a multiple of the yardstick's time, from one paired measurement; such multiples can be added.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evaluators.tensors import Array, Arrays

VERSION = 1
"""Version of the yardstick; part of the name of every answer in yardsticks."""

INPUT = "yardstick"
_CHANNELS, _SIZE = 64, 16
_SHAPE = (1, _CHANNELS, _SIZE, _SIZE)


def yardstick(inputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
    """Builds the yardstick: a 3x3 convolution of 64 channels at 16x16 (9.4 million multiply-accumulates) in fp32.

    It also accepts and ignores ``inputs``, so that both models of a pair can use one feed.
    """
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32) / np.float32(24.0)
    node = helper.make_node("Conv", [INPUT, "weights"], ["result"], name="conv", kernel_shape=[3, 3], pads=[1] * 4)
    output = helper.make_tensor_value_info("result", TensorProto.FLOAT, _SHAPE)
    graph = helper.make_graph([node], "yardstick", [_input()], [output], [numpy_helper.from_array(weights, "weights")])
    graph.input.extend(inputs)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


def beside_yardstick(model: onnx.ModelProto) -> onnx.ModelProto:
    """Adds the yardstick's input to a copy of a model, which ignores it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.input.append(_input())
    return copy


def yardstick_feed(feed: Arrays) -> dict[str, Array]:
    """Adds the yardstick's input to a model's feed."""
    values = np.random.default_rng(1).standard_normal(_SHAPE).astype(np.float32)
    return {**feed, INPUT: values}


def _input() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, _SHAPE)
