"""Quantises weights, once per model, for all of its candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from evaluators.graphs.graph import Graph
from evaluators.processes.recent import Recent
from evaluators.quantize.scheme import Scheme

Floats = NDArray[np.float32]

MOST_BYTES = 128 * 2**20
"""Bytes to keep of integer weights, and as many of block weights."""


@dataclass(frozen=True)
class IntegerWeight:
    """int8 weights: ``value ~ scale * integers``."""

    integers: onnx.TensorProto
    scale: onnx.TensorProto
    """``scales`` as an initializer."""
    zero: onnx.TensorProto
    """Zero points, all 0."""
    scales: Floats
    """A scalar or ``(channels,)``."""


@dataclass(frozen=True)
class BlockWeight:
    """A matrix ``(inputs, outputs)`` in blocks along its inputs, packed for MatMulNBits."""

    packed: onnx.TensorProto
    scales: onnx.TensorProto
    zeros: onnx.TensorProto | None
    """Zero points; None if symmetric."""
    inputs: int
    outputs: int


class Weights:
    """Quantises a graph's initializers and keeps the most recently used results.

    Results are shared: do not change them.
    """

    def __init__(self, graph: Graph, scheme: Scheme, mark: str) -> None:
        self._graph, self._scheme, self._mark = graph, scheme, mark
        self._integers: Recent[tuple[str, int | None, bool], IntegerWeight] = Recent(
            lambda weight: len(weight.integers.raw_data), MOST_BYTES
        )
        self._blocks: Recent[tuple[str, int, bool], BlockWeight] = Recent(
            lambda weight: len(weight.packed.raw_data), MOST_BYTES
        )

    def floats(self, name: str, *, transposed: bool = False) -> Floats:
        """Returns the trained values; ``transposed`` swaps the last two axes."""
        value = np.asarray(self._graph.constant(name), np.float32)
        return np.ascontiguousarray(np.swapaxes(value, -1, -2)) if transposed else value

    def int8(self, name: str, axis: int, *, transposed: bool = False) -> IntegerWeight:
        """Quantises to symmetric int8 with a scale per index of ``axis``, or one scale if the scheme says so."""
        along = axis if self._scheme.per_channel_weights else None

        def make() -> IntegerWeight:
            value = self.floats(name, transposed=transposed)
            scales = channel_scales(value, along, self.highest)
            # One table may be looked up by rows and multiplied by columns: two weights, which need two names.
            role = ("int8_t" if transposed else "int8") + ("_rows" if along == 0 else "")
            return self.with_scales(value, scales, along, f"{name}{self._mark}{role}")

        return self._integers.get((name, along, transposed), make)

    def recurrent(self, name: str) -> IntegerWeight:
        """Quantises LSTM weights ``(directions, 4 * hidden, inputs)``, transposed; one scale per direction and row."""

        def make() -> IntegerWeight:
            value = self.floats(name, transposed=True)
            peaks = np.abs(value).max(axis=1)
            scales = np.where(peaks > 1e-30, peaks / np.float32(self.highest), np.float32(1)).astype(np.float32)
            integers = np.rint(value / scales[:, None, :]).astype(np.int8)
            base = f"{name}{self._mark}int8_t"
            return IntegerWeight(
                numpy_helper.from_array(integers, base),
                numpy_helper.from_array(scales, f"{base}_scale"),
                numpy_helper.from_array(np.zeros(scales.shape, np.int8), f"{base}_zero"),
                scales,
            )

        return self._integers.get((name, None, True), make)

    def with_scales(self, value: Floats, scales: Floats, axis: int | None, name: str) -> IntegerWeight:
        """Quantises to int8 with given scales; the result is not kept."""
        shape = [-1 if i == axis else 1 for i in range(value.ndim)]
        integers = np.rint(value / scales.reshape(shape) if axis is not None else value / scales)
        integers = np.clip(integers, -self.highest - int(self._scheme.reduce_range), self.highest).astype(np.int8)
        return IntegerWeight(
            numpy_helper.from_array(integers, name),
            numpy_helper.from_array(scales, f"{name}_scale"),
            numpy_helper.from_array(np.zeros(scales.shape, np.int8), f"{name}_zero"),
            scales,
        )

    @property
    def highest(self) -> int:
        """The largest integer of a weight."""
        return 63 if self._scheme.reduce_range else 127

    def blocks(self, name: str, bits: int, *, transposed: bool = False) -> BlockWeight:
        """Quantises a matrix ``(inputs, outputs)`` in blocks of the scheme's size, 4 or 8 bits per weight."""

        def make() -> BlockWeight:
            matrix = self.floats(name, transposed=transposed)
            base = f"{name}{self._mark}{bits}bit"
            asymmetric = self._scheme.asymmetric_blocks
            packed, scales, zeros = pack_blocks(matrix, bits, self._scheme.block_size, asymmetric=asymmetric)
            return BlockWeight(
                numpy_helper.from_array(packed, base),
                numpy_helper.from_array(scales, f"{base}_scale"),
                None if zeros is None else numpy_helper.from_array(zeros, f"{base}_zero"),
                *matrix.shape,
            )

        return self._blocks.get((name, bits, transposed), make)


def channel_scales(value: Floats, axis: int | None, highest: int) -> Floats:
    """Computes scales that map the largest magnitude of each channel to ``highest``: ``(channels,)`` or a scalar.

    A channel of zeros gets the largest scale of all channels, because scales also decide how precisely biases are
    stored.
    """
    reduced = None if axis is None else tuple(i for i in range(value.ndim) if i != axis)
    scales = np.asarray(np.abs(value).max(axis=reduced) / np.float32(highest), np.float32)
    fallback = np.float32(scales.max() if scales.max() > 1e-30 else 1 / highest)
    return np.asarray(np.where(scales > 1e-30, scales, fallback), np.float32)


def pack_blocks(
    matrix: Floats, bits: int, block_size: int, *, asymmetric: bool
) -> tuple[NDArray[np.uint8], Floats, NDArray[np.uint8] | None]:
    """Quantises a matrix ``(inputs, outputs)`` by blocks along its inputs, in the layout of MatMulNBits.

    Returns the integers ``(outputs, blocks, bytes of a block)``, the scales ``(outputs * blocks,)`` and the zero points
    ``(outputs * bytes,)``, None if all are in the middle of the range. Two 4-bit values share a byte, the first in its
    low half. See the operator's specification in ONNX Runtime's ContribOperators.md.
    """
    inputs, outputs = matrix.shape
    blocks = -(-inputs // block_size)
    padded = np.zeros((outputs, blocks * block_size), np.float32)
    padded[:, :inputs] = matrix.T
    split = padded.reshape(outputs, blocks, block_size)
    top, middle = 2**bits - 1, 2 ** (bits - 1)
    if asymmetric:
        low, high = np.minimum(split.min(-1), 0), np.maximum(split.max(-1), 0)
        scales = (high - low) / np.float32(top)
        scales[scales <= 1e-30] = 1
        zeros = np.clip(np.rint(-low / scales), 0, top)
    else:
        # The value of largest magnitude is mapped to the end of the range with one more step.
        peak = np.take_along_axis(split, np.abs(split).argmax(-1)[..., None], -1)[..., 0]
        scales = peak / np.float32(-middle)
        scales[np.abs(scales) <= 1e-30] = 1
        zeros = np.full(scales.shape, middle, np.float32)
    integers = np.clip(np.rint(split / scales[..., None] + zeros[..., None]), 0, top).astype(np.uint8)
    if bits == 4:
        integers = integers[..., 0::2] | (integers[..., 1::2] << 4)
    packed_zeros = _pack_rows(zeros.astype(np.uint8), bits).ravel() if asymmetric else None
    return integers, scales.astype(np.float32).ravel(), packed_zeros


def _pack_rows(zeros: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    if bits == 8:
        return zeros
    if zeros.shape[1] % 2:
        zeros = np.pad(zeros, ((0, 0), (0, 1)))
    return np.asarray(zeros[:, 0::2] | (zeros[:, 1::2] << 4), np.uint8)
