"""Operators for probing a device's capability: models of one layer, generated at any width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from evaluators.graphs.layer_groups import layer_groups
from evaluators.probing.questions import SingleLayer
from evaluators.probing.single_layer import layer_key

WIDTHS = (8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)
"""Dense enough to show steps of 8, 16, 32 and 64."""


@dataclass(frozen=True)
class Family:
    """One operator at several widths, with as many input as output channels (features)."""

    name: str
    kind: str
    """ONNX operator."""
    about: str
    """Its shape in words."""
    power: int
    """Power of the width with which work grows: 1 for a depthwise convolution, 2 for others."""
    widths: tuple[int, ...]
    build: Callable[[int], onnx.ModelProto]
    """Builds the model of a width."""

    def layer(self, width: int) -> SingleLayer:
        """Builds the operator at a width, as a layer to benchmark."""
        return single_layer(self.build(width))


def single_layer(model: onnx.ModelProto) -> SingleLayer:
    """Wraps a generated model of fixed shapes as a layer to benchmark."""
    groups = layer_groups(model)
    shapes: dict[str, tuple[int | None, ...]] = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in model.graph.input
    }
    shapes.update({tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer})
    key = " ".join(layer_key(model, group, shapes) for group in groups)
    return SingleLayer(key, groups, model)


def convolutions(shape: Sequence[int], *, kernel: int = 1, depthwise: bool = False, count: int = 1) -> onnx.ModelProto:
    """Builds ``count`` convolutions in a row on ``(batch, channels, …)``, with as many output as input channels."""
    channels, rank = shape[1], len(shape) - 2
    nodes, weights = [], []
    for number in range(count):
        fan_in = (1 if depthwise else channels) * kernel**rank
        nodes.append(
            helper.make_node(
                "Conv",
                [f"x{number}", f"w{number}", f"b{number}"],
                [f"x{number + 1}"],
                name=f"conv{number}",
                kernel_shape=[kernel] * rank,
                pads=[kernel // 2] * (2 * rank),
                group=channels if depthwise else 1,
            )
        )
        dims = (channels, 1 if depthwise else channels, *[kernel] * rank)
        weights += [_values(f"w{number}", dims, fan_in), _values(f"b{number}", (channels,), 100)]
    return _model(nodes, weights, shape, f"x{count}")


def products(shape: Sequence[int], *, operator: str = "MatMul", count: int = 1) -> onnx.ModelProto:
    """Builds ``count`` matrix products in a row on ``(…, features)`` with square weights; a Gemm also has a bias."""
    size = shape[-1]
    nodes, weights = [], []
    for number in range(count):
        inputs = [f"x{number}", f"w{number}"]
        weights.append(_values(f"w{number}", (size, size), size))
        if operator == "Gemm":
            inputs.append(f"b{number}")
            weights.append(_values(f"b{number}", (size,), 100))
        nodes.append(helper.make_node(operator, inputs, [f"x{number + 1}"], name=f"product{number}"))
    return _model(nodes, weights, shape, f"x{count}")


def _values(name: str, dims: Sequence[int], fan_in: int) -> onnx.TensorProto:
    values = np.random.default_rng(len(name)).standard_normal(dims, dtype=np.float32)
    values /= np.float32(np.sqrt(fan_in))
    return numpy_helper.from_array(values, name)


def _model(
    nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], shape: Sequence[int], result: str
) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x0", TensorProto.FLOAT, tuple(shape))]
    outputs = [helper.make_tensor_value_info(result, TensorProto.FLOAT, tuple(shape))]
    graph = helper.make_graph(nodes, "layers", inputs, outputs, weights)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


FAMILIES = (
    Family(
        "conv3x3", "Conv", "3x3 convolution of 16x16 pixels", 2, WIDTHS,
        lambda width: convolutions((1, width, 16, 16), kernel=3),
    ),
    Family(
        "conv1x1", "Conv", "1x1 convolution of 32x32 pixels", 2, WIDTHS,
        lambda width: convolutions((1, width, 32, 32)),
    ),
    Family(
        "depthwise", "Conv", "3x3 depthwise convolution of 32x32 pixels", 1, WIDTHS,
        lambda width: convolutions((1, width, 32, 32), kernel=3, depthwise=True),
    ),
    Family(
        "matmul", "MatMul", "product of 128 rows with a matrix", 2, (*WIDTHS, 256, 384, 512),
        lambda width: products((1, 128, width)),
    ),
    Family(
        "gemm", "Gemm", "product of one row with a matrix, and a bias", 2, (64, 128, 256, 512, 1024, 2048),
        lambda width: products((1, width), operator="Gemm"),
    ),
)  # fmt: skip
"""Probed in this order. Other layers, such as LSTM, are benchmarked only for jobs whose model has them."""
