"""Static int8: calibrated ranges, written as QuantizeLinear/DequantizeLinear pairs.

Where the pairs stand decides what a runtime computes on integers. A tensor is *resident* when every reader gets its
quantised value: the output of an int8 convolution (it has no form with float output) and of the followers behind it. A
resident tensor's pair stands right behind its producer and the dequantised value keeps the tensor's name. Other tensors
get a pair for their int8 readers alone. The products MatMul and Gemm give floats unless all their readers are int8, or
where an activation follows a Gemm: ONNX Runtime would merge the two into one float operator.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from evaluators.graphs.graph import Graph, input_of, int_attribute, is_op
from evaluators.quantize.calibration import Ranges
from evaluators.quantize.graph_edit import GraphEdit
from evaluators.quantize.integer_operators import (
    CALCULATORS,
    MOVERS,
    clipping,
    data_inputs,
    integer_bounds,
    is_follower,
    makes_clipping_redundant,
)
from evaluators.quantize.scheme import Scheme
from evaluators.quantize.weights import IntegerWeight, channel_scales
from hwprofiles.errors import BuildFailed

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_MERGED_WITH_GEMM = (
    "Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh", "ThresholdedRelu",
)  # fmt: skip


class StaticPlan:
    """Which tensors are quantised when these nodes are.

    ``resident`` and ``wanted`` (the other tensors with int8 readers) name tensors; ``followers`` nodes; ``origin`` the
    tensor whose range a moved tensor shares.
    """

    def __init__(self, graph: Graph, layers: frozenset[str]) -> None:
        self.graph = graph
        self.layers = layers
        self.followers: dict[str, onnx.NodeProto] = {}
        self.resident: dict[str, None] = {}
        self.origin: dict[str, str] = {}
        self._find_residents()
        self._prune()
        self.wanted: dict[str, None] = {}
        for node in graph.proto.node:
            for tensor in self.integer_inputs(node):
                if tensor not in self.resident:
                    self.wanted[tensor] = None

    def integer_inputs(self, node: onnx.NodeProto) -> tuple[str, ...]:
        """The activations that a node reads as integers."""
        if node.name in self.layers:
            return (node.input[0],)
        return data_inputs(node) if node.name in self.followers else ()

    def only_integer_readers(self, tensor: str) -> bool:
        """Whether nobody needs the float value."""
        readers = self.graph.consumers.get(tensor, [])
        seen = tensor in self.graph.outputs or tensor in self.graph.inner_readers
        return bool(readers) and not seen and all(tensor in self.integer_inputs(node) for node in readers)

    def end(self, tensor: str) -> str:
        """The tensor behind a clipping that alone reads this one; else the tensor itself."""
        reader = self.graph.only_reader(tensor)
        return reader.output[0] if reader is not None and clipping(reader, self.graph) else tensor

    def range_tensors(self) -> list[str]:
        """The tensors whose ranges are needed, in graph order."""
        return list(dict.fromkeys(self.origin.get(t, t) for t in (*self.wanted, *self.resident)))

    def _find_residents(self) -> None:
        for node in self.graph.proto.node:
            if node.name in self.layers:
                if is_op(node, *_CONVOLUTIONS) or self._merges_activation(node):
                    self.resident[self.end(node.output[0])] = None
            elif is_follower(node) and all(t in self.resident for t in data_inputs(node)):
                self.followers[node.name] = node
                for tensor in self._results(node):
                    self.resident[tensor] = None
                    if node.op_type in MOVERS:
                        source = data_inputs(node)[0]
                        self.origin[tensor] = self.origin.get(source, source)

    def _merges_activation(self, node: onnx.NodeProto) -> bool:
        reader = self.graph.only_reader(node.output[0]) if is_op(node, "Gemm") else None
        return reader is not None and is_op(reader, *_MERGED_WITH_GEMM)

    def _results(self, node: onnx.NodeProto) -> list[str]:
        """What a follower gives, a clipping behind a calculation included."""
        if node.op_type in MOVERS:
            return [name for name in node.output if name]
        return [self.end(node.output[0])]

    def _prune(self) -> None:
        """Drops followers whose results nothing reads as integers: calculations would only be rounded once more.

        Sums stay, as the layers around them share their decision, and MaxPool, which is faster on fewer bytes.
        """
        for node in reversed(self.graph.proto.node):
            if node.name not in self.followers or not is_op(node, *CALCULATORS, *MOVERS) or is_op(node, "MaxPool"):
                continue
            results = self._results(node)
            readers = [(name, reader) for name in results for reader in self.graph.consumers.get(name, ())]
            if not any(name in self.integer_inputs(reader) for name, reader in readers):
                del self.followers[node.name]
                for name in results:
                    del self.resident[name]
                    self.origin.pop(name, None)


def make_static(edit: GraphEdit, layers: frozenset[str], ranges: Ranges | None, scheme: Scheme) -> None:
    """Puts the pairs of a set of layers, by node name, into a draft.

    Raises:
        BuildFailed: the range of a tensor is missing.
    """
    if ranges is None:
        raise BuildFailed("static int8 needs calibrated ranges", "calibrate the model before it is quantised")
    _Writer(edit, StaticPlan(edit.source.graph, layers), ranges, scheme).write()


class _Writer:
    def __init__(self, edit: GraphEdit, plan: StaticPlan, ranges: Ranges, scheme: Scheme) -> None:
        self.edit, self.plan, self.ranges, self.scheme = edit, plan, ranges, scheme
        self.graph = plan.graph
        self.parameters: dict[str, tuple[np.float32, int]] = {}

    def write(self) -> None:
        for tensor in self.plan.resident:
            self._quantize_resident(tensor)
        for tensor in self.plan.wanted:
            self._quantize_for_readers(tensor)
        for node in self.graph.proto.node:
            if node.name in self.plan.layers:
                self._weights(node)
            elif node.name in self.plan.followers and is_op(node, "Sum"):
                self.edit.editable(node).op_type = "Add"

    def _scale_and_zero(self, tensor: str) -> tuple[np.float32, int]:
        origin = self.plan.origin.get(tensor, tensor)
        if origin not in self.parameters:
            self.parameters[origin] = self.scheme.parameters(*self.ranges.of(origin))
        return self.parameters[origin]

    def _pair(
        self, source: str, tensor: str, target: str, bounds: tuple[float, float] | None = None
    ) -> list[onnx.NodeProto]:
        """QuantizeLinear of ``source`` and DequantizeLinear to ``target``, with the parameters of ``tensor``.

        The integers between the two are clipped to ``bounds``, given in floats.
        """
        scale, zero = self._scale_and_zero(tensor)
        origin = self.plan.origin.get(tensor, tensor)
        kind = np.uint8 if self.scheme.activation_type == "uint8" else np.int8
        factors = [
            self.edit.add_array(self.edit.name(origin, "scale"), np.asarray(scale, np.float32)),
            self.edit.add_array(self.edit.name(origin, "zero"), np.asarray(zero, kind)),
        ]
        integers = self.edit.name(tensor, "quantized")
        nodes = [self.edit.node("QuantizeLinear", [source, *factors], [integers])]
        if bounds is not None:
            clipped = self.edit.name(tensor, "clipped")
            limits = [
                self.edit.add_array(self.edit.name(tensor, role), np.asarray(limit, kind))
                for role, limit in zip(("low", "high"), integer_bounds(bounds, scale, zero, self.scheme), strict=True)
            ]
            nodes.append(self.edit.node("Clip", [integers, *limits], [clipped]))
            integers = clipped
        return [*nodes, self.edit.node("DequantizeLinear", [integers, *factors], [target])]

    def _clipping(self, tensor: str) -> tuple[onnx.NodeProto, tuple[float, float], bool] | None:
        """The clipping that makes a tensor, its bounds, and whether quantising alone does its work."""
        producer = self.graph.producers.get(tensor)
        bounds = None if producer is None else clipping(producer, self.graph)
        if producer is None or bounds is None or tensor in self.plan.origin:
            return None
        scale, zero = self._scale_and_zero(tensor)
        return producer, bounds, makes_clipping_redundant(bounds, float(scale), zero, self.scheme)

    def _quantize_resident(self, tensor: str) -> None:
        found = self._clipping(tensor)
        if found is not None:
            clip, bounds, absorbed = found
            if absorbed:
                self.edit.replace(clip, self._pair(clip.input[0], tensor, tensor))
                return
            if self.scheme.activation_type == "uint8":
                # Between a layer and its pair a clipping would keep ONNX Runtime from computing the layer on integers;
                # on the integers it does the same. TensorRT, which wants int8, has its own way and no such Clip.
                self.edit.replace(clip, self._pair(clip.input[0], tensor, tensor, bounds))
                return
        producer = self.edit.editable(self.graph.producers[tensor])
        raw = self.edit.name(tensor, "float")
        producer.output[list(producer.output).index(tensor)] = raw
        self.edit.follow(tensor, self._pair(raw, tensor, tensor))
        # `follow` looks at source tensors, and `tensor` is one: the pair stands behind its producer.

    def _quantize_for_readers(self, tensor: str) -> None:
        if self.plan.only_integer_readers(tensor):
            found = self._clipping(tensor)
            if found is not None and found[2]:
                clip = found[0]
                nodes, source = self._guard(tensor, clip.input[0])
                self.edit.replace(clip, [*nodes, *self._pair(source, tensor, tensor)])
                return
        rounded = self.edit.name(tensor, "rounded")
        nodes, source = self._guard(tensor, tensor)
        self.edit.follow(tensor, [*nodes, *self._pair(source, tensor, rounded)])
        for node in self.graph.consumers[tensor]:
            if tensor in self.plan.integer_inputs(node):
                copy = self.edit.editable(node)
                for position in range(len(self.plan.integer_inputs(node))):
                    if copy.input[position] == tensor:
                        copy.input[position] = rounded

    def _guard(self, tensor: str, source: str) -> tuple[list[onnx.NodeProto], str]:
        """What to quantise for a tensor that ``source`` leads to, with a copy in between where that is needed.

        ONNX Runtime rounds the weights of a float convolution or Gemm too, and to one scale for all channels, when
        integers come in and go out (its optimizer WeightBiasQuantization). A Sum of one tensor keeps it from that.
        """
        layer = self.graph.producers.get(tensor)
        if layer is not None and clipping(layer, self.graph) and self.graph.is_private(layer.input[0]):
            layer = self.graph.producers.get(layer.input[0])
        if layer is None or layer.name in self.plan.layers or not is_op(layer, *_CONVOLUTIONS, "Gemm"):
            return [], source
        if layer.input[0] not in self.plan.resident:
            return [], source
        apart = self.edit.name(tensor, "apart")
        return [self.edit.node("Sum", [source], [apart])], apart

    def _weights(self, node: onnx.NodeProto) -> None:
        copy = self.edit.editable(node)
        if is_op(node, "MatMul"):
            self._keep_bias_apart(node)
        axis = 0 if is_op(node, "Conv") or (is_op(node, "Gemm") and int_attribute(node, "transB", 0)) else 1
        weight = self.edit.source.weights.int8(node.input[1], axis)
        name = input_of(node, 2)
        bias = self.edit.source.weights.floats(name).astype(np.float64).ravel() if name else None
        input_scale = np.float64(self._scale_and_zero(node.input[0])[0])
        if bias is not None:
            weight = self._fitting(node, weight, axis, bias, input_scale)
        integers, scale, zero = self.edit.add_weight(weight)
        target = self.edit.name(integers, "float")
        pairs = []
        if self.edit.shared(integers, "float") is None:
            self.edit.share(integers, "float", (target,))
            options = {"axis": axis} if weight.scales.ndim else {}
            pairs.append(self.edit.node("DequantizeLinear", [integers, scale, zero], [target], **options))
        copy.input[1] = target
        if bias is not None and self.scheme.integer_bias and not is_op(node, "ConvTranspose"):
            pairs.append(self._bias_pair(copy, bias, weight, input_scale))
        self.edit.precede(node, pairs)

    def _keep_bias_apart(self, product: onnx.NodeProto) -> None:
        """Writes the sum behind a product as Sum: ONNX Runtime would merge Add into a Gemm or a slow BiasGelu."""
        reader = self.graph.only_reader(product.output[0])
        if reader is not None and is_op(reader, "Add") and any(n in self.graph.initializers for n in reader.input):
            self.edit.editable(reader).op_type = "Sum"

    def _fitting(
        self, node: onnx.NodeProto, weight: IntegerWeight, axis: int, bias: NDArray[np.float64], input_scale: np.float64
    ) -> IntegerWeight:
        """The same weight, or one with larger scales where the bias in units of both scales would exceed 32 bits.

        Float biases need this too: ONNX Runtime rounds them to 32 bits itself. A grouped ConvTranspose has several
        output channels to a scale.
        """
        needed = np.abs(bias) / (input_scale * (2.0**30))
        if not weight.scales.ndim:
            needed = needed.max()
        elif bias.size > weight.scales.size:
            needed = needed.reshape(-1, weight.scales.size).max(axis=0)
        if not np.any(needed > weight.scales):
            return weight
        along = axis if weight.scales.ndim else None
        value = self.edit.source.weights.floats(node.input[1])
        usual = channel_scales(value, along, self.edit.source.weights.highest)
        scales = np.asarray(np.maximum(usual, needed), np.float32)
        return self.edit.source.weights.with_scales(value, scales, along, self.edit.name(node.name, "wide_int8"))

    def _bias_pair(
        self, copy: onnx.NodeProto, bias: NDArray[np.float64], weight: IntegerWeight, input_scale: np.float64
    ) -> onnx.NodeProto:
        scales = np.asarray(input_scale * weight.scales.astype(np.float64), np.float32)
        if scales.ndim and bias.size != scales.size:
            bias = np.broadcast_to(bias, scales.shape)
        base = self.edit.name(copy.name, "bias")
        units = np.rint(bias / scales.astype(np.float64))
        inputs = [
            self.edit.add_array(f"{base}_int32", np.clip(units, -(2.0**31) + 1, 2.0**31 - 1).astype(np.int32)),
            self.edit.add_array(f"{base}_scale", scales),
            self.edit.add_array(f"{base}_zero", np.zeros(scales.shape, np.int32)),
        ]
        copy.input[2] = base
        return self.edit.node("DequantizeLinear", inputs, [base], **({"axis": 0} if scales.ndim else {}))


def tensors_to_calibrate(graph: Graph, layers: Mapping[str, onnx.NodeProto]) -> tuple[str, ...]:
    """Every tensor that can need a range when any of these layers are static int8."""
    found: dict[str, None] = {}
    plan = StaticPlan(graph, frozenset(layers))
    found.update(dict.fromkeys(plan.range_tensors()))
    for node in layers.values():
        found[node.input[0]] = None
        found[plan.end(node.output[0])] = None
    return tuple(found)
