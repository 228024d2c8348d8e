"""Writes small ONNX graphs with random weights, a line a node."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dim = int | str | None


class Builder:
    """Collects nodes; weights are drawn from a seeded generator."""

    def __init__(self, opset: int = 17, *, seed: int = 0, named: bool = True, constants: bool = False) -> None:
        self.opset, self.named, self.constants = opset, named, constants
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.count = 0

    def input(self, name: str, shape: Sequence[Dim], kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, name: str, kind: int = TensorProto.FLOAT, shape: Sequence[Dim] | None = None) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def fresh(self, base: str) -> str:
        self.count += 1
        return f"{base}_{self.count}"

    def const(self, value: object, dtype: type = np.float32, name: str = "") -> str:
        name = name or self.fresh("const")
        tensor = numpy_helper.from_array(np.ascontiguousarray(np.asarray(value, dtype)), name)
        if self.constants:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.initializers.append(tensor)
        return name

    def weight(self, *shape: int, gain: float = 1.0, name: str = "") -> str:
        fan = max(1, int(np.prod(shape[1:])) if len(shape) != 2 else shape[0])
        return self.const(self.rng.standard_normal(shape) * gain / np.sqrt(fan), name=name or self.fresh("weight"))

    def bias(self, size: int) -> str:
        return self.const(self.rng.standard_normal(size) * 0.1, name=self.fresh("bias"))

    def op(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", out: str = "", **options: object) -> str:
        """Adds a node and returns its first output."""
        return self.ops(kind, *inputs, outputs=outputs, domain=domain, out=out, **options)[0]

    def ops(
        self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", out: str = "", **options: object
    ) -> list[str]:
        names = [out or self.fresh(kind.lower())]
        names += [self.fresh(kind.lower()) for _ in range(outputs - 1)]
        node_name = f"/block/{names[0]}/{kind}" if self.named else ""
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=node_name, domain=domain, **options))
        return names

    def conv(self, x: str, cin: int, cout: int, kernel: int = 3, *, group: int = 1, stride: int = 1, rank: int = 2,
             bias: bool = True, out: str = "") -> str:  # fmt: skip
        inputs = [x, self.weight(cout, cin // group, *[kernel] * rank, gain=1.4)]
        inputs += [self.bias(cout)] if bias else []
        pads = [kernel // 2] * (2 * rank)
        return self.op(
            "Conv", *inputs, out=out, group=group, pads=pads, strides=[stride] * rank, kernel_shape=[kernel] * rank
        )

    def norm(self, x: str, channels: int) -> str:
        values = [
            self.const(self.rng.uniform(0.5, 1.5, channels)), self.const(self.rng.standard_normal(channels) * 0.1),
            self.const(self.rng.standard_normal(channels) * 0.1), self.const(self.rng.uniform(0.5, 1.5, channels)),
        ]  # fmt: skip
        return self.op("BatchNormalization", x, *values)

    def linear(self, x: str, cin: int, cout: int, *, bias: bool = True) -> str:
        y = self.op("MatMul", x, self.weight(cin, cout))
        return self.op("Add", self.bias(cout), y) if bias else y

    def layer_norm(self, x: str, size: int) -> str:
        return self.op("LayerNormalization", x, self.const(np.ones(size)), self.bias(size), axis=-1)

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "menagerie", self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        domains = {node.domain for node in self.nodes} - {""}
        opsets += [helper.make_opsetid(domain, 1) for domain in sorted(domains)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 10
        return model
