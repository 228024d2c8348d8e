"""The precisions that a layer can be executed in."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """How one layer's weights and activations are stored and computed.

    ===================  ==============================================================================
    ``fp32``             as trained
    ``int8``             static: calibrated activation ranges, Q/DQ, weights int8 per channel
    ``int8_dynamic``     activations quantised at run time, weights int8 per channel
    ``int8_weight``      weights stored in 8 bits by blocks, computed in float
    ``int4_weight``      weights stored in 4 bits by blocks, computed in float
    ===================  ==============================================================================
    """

    FP32 = "fp32"
    INT8 = "int8"
    INT8_DYNAMIC = "int8_dynamic"
    INT8_WEIGHT = "int8_weight"
    INT4_WEIGHT = "int4_weight"

    @property
    def weight_bits(self) -> int:
        """Bits per weight."""
        return {Precision.FP32: 32, Precision.INT4_WEIGHT: 4}.get(self, 8)
