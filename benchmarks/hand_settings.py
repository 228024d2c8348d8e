"""What a user of ONNX Runtime would try by hand, written by the runtime's own tools."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
    shape_inference,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers import optimizer

FLOAT = {"DefaultTensorType": onnx.TensorProto.FLOAT}
MATRIX = ["MatMul", "Gemm"]

Setting = tuple[str, Callable[[], Path]]
"""A name, and the function that writes the file."""


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Feeds of single samples, without the samples' axis where the model's input has no place for it."""

    def __init__(self, arrays: Mapping[str, Any], ranks: Mapping[str, int], count: int = 64) -> None:
        most = min(count, *(len(values) for values in arrays.values()))
        self._feeds = iter([{name: self._sample(name, arrays, ranks, i) for name in arrays} for i in range(most)])

    @staticmethod
    def _sample(name: str, arrays: Mapping[str, Any], ranks: Mapping[str, int], number: int) -> Any:
        values = arrays[name]
        return np.asarray(values[number]) if ranks[name] < values.ndim else values[number : number + 1]

    def get_next(self) -> dict[str, Any] | None:
        """See the base class."""
        return next(self._feeds, None)


class HandSettings:
    """Settings of one model, built in ``folder``; ``arrays`` are its calibration samples.

    ``heads`` and ``hidden`` name a transformer's sizes, for the runtime's fusions.
    """

    def __init__(
        self, source: Path, arrays: Mapping[str, Any], folder: Path, heads: int | None = None, hidden: int | None = None
    ) -> None:
        self._source, self._arrays, self._folder = source, arrays, folder
        self._heads, self._hidden = heads, hidden
        inputs = onnx.load(source, load_external_data=False).graph.input
        self._ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in inputs}

    def all(self) -> Iterator[Setting]:
        """Every setting: fp32, dynamic and static int8 (per tensor and per channel, of all operators or the matrix
        products alone), 8- and 4-bit weights, with and without the runtime's transformer fusions."""
        graphs = {"plain": lambda: self._source, **({"fused": self._fused} if self._heads else {})}
        for graph, make in graphs.items():
            yield f"{graph} fp32", make
            for channel in (False, True):
                yield from self._int8(graph, make, channel)
            for bits in (8, 4):
                yield f"{graph} {bits}-bit weights", lambda make=make, bits=bits: self._weights(make(), bits)

    def simple(self) -> Iterator[Setting]:
        """Dynamic and static int8 of the model as it is."""
        for channel in (False, True):
            yield from self._int8("plain", lambda: self._source, channel)

    def _int8(self, graph: str, make: Callable[[], Path], channel: bool) -> Iterator[Setting]:
        kind = "per channel" if channel else "per tensor"
        for weights in (QuantType.QInt8, QuantType.QUInt8):
            yield (
                f"{graph} dynamic {weights} weights {kind}",
                lambda weights=weights: self._dynamic(make(), channel, weights),
            )
        for operators in (MATRIX, None):
            scope = "all operators" if operators is None else "products"
            for activations in (QuantType.QUInt8, QuantType.QInt8):
                yield (
                    f"{graph} static {activations} {scope} {kind}",
                    lambda operators=operators, activations=activations: self._static(
                        make(), channel, operators, activations
                    ),
                )

    @property
    def _candidate(self) -> Path:
        return self._folder / "candidate.onnx"

    def _fused(self) -> Path:
        path = self._folder / "fused.onnx"
        fused = optimizer.optimize_model(
            str(self._source), model_type="bert", num_heads=self._heads, hidden_size=self._hidden, opt_level=0
        )
        fused.save_model_to_file(str(path))
        return path

    def _inferred(self, path: Path) -> Path:
        """The graph with shapes where inference knows them; as it is where the runtime's tool fails."""
        inferred = self._folder / "inferred.onnx"
        try:
            shape_inference.quant_pre_process(str(path), str(inferred), skip_symbolic_shape=True)
        except (RuntimeError, ValueError, AssertionError, onnx.shape_inference.InferenceError):
            shutil.copyfile(path, inferred)
        return inferred

    def _dynamic(self, path: Path, channel: bool, weights: Any) -> Path:
        quantize_dynamic(path, self._candidate, per_channel=channel, weight_type=weights, extra_options=FLOAT)
        return self._candidate

    def _static(self, path: Path, channel: bool, operators: list[str] | None, activations: Any) -> Path:
        quantize_static(
            self._inferred(path) if path == self._source else path, self._candidate,
            Calibration(self._arrays, self._ranks), quant_format=QuantFormat.QDQ, per_channel=channel,
            activation_type=activations, weight_type=QuantType.QInt8, op_types_to_quantize=operators,
            extra_options=FLOAT,
        )  # fmt: skip
        return self._candidate

    def _weights(self, path: Path, bits: int) -> Path:
        quantizer = MatMulNBitsQuantizer(onnx.load(path), bits=bits, block_size=32, is_symmetric=True)
        quantizer.process()
        quantizer.model.save_model_to_file(str(self._candidate))
        return self._candidate
