"""Quantisation schemes: how a device wants values as integers, for all layers of a candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwprofiles.errors import InvalidInput


@dataclass(frozen=True)
class Scheme:
    """Number types, symmetry and granularity of quantised layers."""

    activation_type: Literal["uint8", "int8"] = "uint8"
    """Type of static int8's activations. uint8 is by far the fastest on x86; TensorRT needs symmetric int8."""
    symmetric_activations: bool = False
    """Fix the zero point of static int8's activations in the middle of the type.

    Asymmetric uint8 lets ONNX Runtime absorb a Relu into the layer before it. Symmetric uint8 has zero point 128, but
    0 for tensors without negative values, whose Relu is absorbed too.
    """
    per_channel_weights: bool = True
    """One scale per output channel instead of one per tensor."""
    reduce_range: bool = False
    """Leave one bit of the weights unused, for processors without VNNI, whose 16-bit sums saturate."""
    integer_bias: bool = True
    """Store biases of static layers as int32, which ONNX Runtime needs and TensorRT refuses."""
    block_size: int = 32
    """Number of weights that share a scale in weight-only layers: 16, 32, 64, 128 or 256."""
    asymmetric_blocks: bool = False
    """Give each block a zero point."""
    integer_compute: bool = False
    """Let the runtime round activations of weight-only layers to 8 bits while it multiplies."""

    def __post_init__(self) -> None:
        """Checks ``activation_type`` and ``block_size``; raises :class:`InvalidInput`."""
        if self.activation_type not in ("uint8", "int8"):
            raise InvalidInput(f"activation_type {self.activation_type!r} is unknown", "use uint8 or int8")
        if self.block_size not in (16, 32, 64, 128, 256):
            raise InvalidInput(f"block_size {self.block_size} is not possible", "use 16, 32, 64, 128 or 256")

    @property
    def lowest(self) -> int:
        """The smallest quantised activation."""
        return 0 if self.activation_type == "uint8" else -128

    @property
    def highest(self) -> int:
        """The largest quantised activation."""
        return self.lowest + 255

    def parameters(self, low: float, high: float) -> tuple[np.float32, int]:
        """Returns scale and zero point for activations from ``low`` to ``high``; 0 is always exact."""
        low, high = min(low, 0.0), max(high, 0.0)
        if self.symmetric_activations:
            if self.activation_type == "uint8" and low == 0.0:
                return self._scale(high / 255), 0
            scale = self._scale(max(-low, high) / 127)
            return scale, 128 if self.activation_type == "uint8" else 0
        scale = self._scale((high - low) / 255)
        zero = self.lowest - low / float(scale)
        return scale, int(np.clip(np.rint(zero), self.lowest, self.highest))

    @staticmethod
    def _scale(value: float) -> np.float32:
        return np.float32(value) if value > 1e-30 else np.float32(1.0)
