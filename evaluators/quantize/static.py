"""Static int8: calibrated ranges, written as QuantizeLinear/DequantizeLinear pairs.

The places of the pairs decide what a runtime computes on integers. A tensor is *resident* if all readers get its
quantised value: outputs of int8 convolutions, which have no form with float output, and of the followers after them
(:mod:`evaluators.quantize.integer_operators`). The pair of a resident tensor directly follows its producer, and the
dequantised value keeps the tensor's name. Other tensors get a pair for their int8 readers only. MatMul and Gemm return
floats unless all their readers are int8 or an activation follows a Gemm, because ONNX Runtime would merge the two into
one float operator.
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
    replaces_clipping,
)
from evaluators.quantize.scheme import Scheme
from evaluators.quantize.weights import IntegerWeight, channel_scales
from hwprofiles.errors import BuildFailed

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_MERGED_WITH_GEMM = (
    "Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh", "ThresholdedRelu",
)  # fmt: skip


class StaticPlan:
    """Plans which tensors are quantised if ``layers`` (node names) are static int8."""

    def __init__(self, graph: Graph, layers: frozenset[str]) -> None:
        self.graph = graph
        self.layers = layers
        self.followers: dict[str, onnx.NodeProto] = {}
        """Nodes that compute on integers without being layers."""
        self.resident: dict[str, None] = {}
        """Tensors of which all readers get the quantised value."""
        self.origin: dict[str, str] = {}
        """For a tensor that holds moved values, the tensor whose range it shares."""
        self._find_residents()
        self._prune()
        self.wanted: dict[str, None] = {}
        """Other tensors with int8 readers."""
        for node in graph.proto.node:
            for tensor in self.integer_inputs(node):
                if tensor not in self.resident:
                    self.wanted[tensor] = None

    def integer_inputs(self, node: onnx.NodeProto) -> tuple[str, ...]:
        """Returns the activations that a node reads as integers."""
        if node.name in self.layers:
            return (node.input[0],)
        return data_inputs(node) if node.name in self.followers else ()

    def only_integer_readers(self, tensor: str) -> bool:
        """Returns whether all readers of a tensor use its quantised value."""
        readers = self.graph.consumers.get(tensor, [])
        seen = tensor in self.graph.outputs or tensor in self.graph.inner_readers
        return bool(readers) and not seen and all(tensor in self.integer_inputs(node) for node in readers)

    def end(self, tensor: str) -> str:
        """Returns the output of a clipping that is the tensor's only reader; else the tensor itself."""
        reader = self.graph.only_reader(tensor)
        return reader.output[0] if reader is not None and clipping(reader, self.graph) else tensor

    def range_tensors(self) -> list[str]:
        """Lists the tensors whose ranges are needed, in graph order."""
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
        """Returns the outputs of a follower; if a clipping follows a calculation, the clipping's output."""
        if node.op_type in MOVERS:
            return [name for name in node.output if name]
        return [self.end(node.output[0])]

    def _prune(self) -> None:
        """Drops followers whose results nothing reads as integers: their results would be rounded for no gain.

        Sums stay, because the layers around them share their decision, and MaxPool, which is faster on fewer bytes.
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
    """Makes layers, given by node name, static int8 by inserting pairs.

    Raises:
        BuildFailed: a tensor's range is missing.
    """
    if ranges is None:
        raise BuildFailed("static int8 needs calibrated ranges", "calibrate the model before it is quantised")
    _Writer(edit, StaticPlan(edit.source.graph, layers), ranges, scheme).write()


class _Writer:
    """Inserts the pairs of a plan into a graph edit."""

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
        """Creates QuantizeLinear from ``source`` and DequantizeLinear to ``target`` with the parameters of ``tensor``.

        The integers between the two are clipped to ``bounds``, given as floats.
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
        """Returns the clipping that produces a tensor, its bounds, and whether quantising makes it redundant."""
        producer = self.graph.producers.get(tensor)
        bounds = None if producer is None else clipping(producer, self.graph)
        if producer is None or bounds is None or tensor in self.plan.origin:
            return None
        scale, zero = self._scale_and_zero(tensor)
        return producer, bounds, replaces_clipping(bounds, float(scale), zero, self.scheme)

    def _quantize_resident(self, tensor: str) -> None:
        clipping_node = self._clipping(tensor)
        if clipping_node is not None:
            clip, bounds, redundant = clipping_node
            if redundant:
                self.edit.replace(clip, self._pair(clip.input[0], tensor, tensor))
                return
            if self.scheme.activation_type == "uint8":
                # A clipping between a layer and its pair would keep ONNX Runtime from computing the layer on integers;
                # clipping the integers is equivalent. TensorRT, which uses int8, has no integer Clip.
                self.edit.replace(clip, self._pair(clip.input[0], tensor, tensor, bounds))
                return
        producer = self.edit.editable(self.graph.producers[tensor])
        raw = self.edit.name(tensor, "float")
        producer.output[list(producer.output).index(tensor)] = raw
        self.edit.follow(tensor, self._pair(raw, tensor, tensor))

    def _quantize_for_readers(self, tensor: str) -> None:
        if self.plan.only_integer_readers(tensor):
            clipping_node = self._clipping(tensor)
            if clipping_node is not None and clipping_node[2]:
                clip = clipping_node[0]
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
        """Separates a float layer from the quantisation of its output, if necessary.

        ONNX Runtime also quantises the weights of a float convolution or Gemm, with one scale for all channels, if its
        input and output are quantised (optimizer WeightBiasQuantization). A Sum of one tensor prevents that. Returns
        new nodes and the tensor to quantise; ``tensor`` is the activation, ``source`` the tensor that leads to it.
        """
        layer = self.graph.producers.get(tensor)
        if layer is not None and clipping(layer, self.graph) and self.graph.is_private(layer.input[0]):
            layer = self.graph.producers.get(layer.input[0])
        if layer is None or layer.name in self.plan.layers or not is_op(layer, *_CONVOLUTIONS, "Gemm"):
            return [], source
        if layer.input[0] not in self.plan.resident:
            return [], source
        copy = self.edit.name(tensor, "apart")
        return [self.edit.node("Sum", [source], [copy])], copy

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
            weight = self._fit_bias(node, weight, axis, bias, input_scale)
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
        """Writes the sum after a product as Sum: ONNX Runtime would merge Add into a Gemm or a slow BiasGelu."""
        reader = self.graph.only_reader(product.output[0])
        if reader is not None and is_op(reader, "Add") and any(n in self.graph.initializers for n in reader.input):
            self.edit.editable(reader).op_type = "Sum"

    def _fit_bias(
        self, node: onnx.NodeProto, weight: IntegerWeight, axis: int, bias: NDArray[np.float64], input_scale: np.float64
    ) -> IntegerWeight:
        """Returns the weight, with larger scales if the bias in units of both scales would exceed 32 bits.

        Float biases need this too, because ONNX Runtime rounds them to 32 bits. A grouped ConvTranspose has several
        output channels per scale.
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
    """Lists the tensors that may need a range if any of these layers, by node name, are static int8."""
    plan = StaticPlan(graph, frozenset(layers))
    tensors: dict[str, None] = dict.fromkeys(plan.range_tensors())
    for node in layers.values():
        tensors[node.input[0]] = None
        tensors[plan.end(node.output[0])] = None
    return tuple(tensors)
