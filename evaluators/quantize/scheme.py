"""How values become integers: what a device wants, the same for all of a candidate's layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwprofiles.errors import InvalidInput


@dataclass(frozen=True)
class Scheme:
    """The number formats of quantised layers.

    ``activation_type`` and ``symmetric_activations`` concern static int8. Asymmetric uint8 lets ONNX Runtime absorb a
    Relu into the layer before it and is by far the fastest on x86; TensorRT wants symmetric int8. Symmetric uint8 has
    zero point 128, except that tensors without negative values keep zero point 0 and with it the absorbed Relu.
    ``reduce_range`` leaves one bit of the weights unused, for processors without VNNI whose 16-bit sums saturate.
    ``integer_bias`` stores biases of static layers as int32, which ONNX Runtime needs and TensorRT refuses.
    ``block_size`` (16, 32, … 256) weights share a scale in weight-only layers; ``asymmetric_blocks`` gives each block a
    zero point too; ``integer_compute`` lets the runtime round activations to 8 bits while it multiplies such layers.
    """

    activation_type: Literal["uint8", "int8"] = "uint8"
    symmetric_activations: bool = False
    per_channel_weights: bool = True
    reduce_range: bool = False
    integer_bias: bool = True
    block_size: int = 32
    asymmetric_blocks: bool = False
    integer_compute: bool = False

    def __post_init__(self) -> None:
        """Refuses what no kernel executes."""
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
        """Scale and zero point for activations between ``low`` and ``high``; 0 is always exact."""
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
