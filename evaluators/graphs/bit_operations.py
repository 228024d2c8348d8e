"""Counts bit-operations: the cost of multiplications on hardware whose width follows the numbers' width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evaluators.graphs.layer_groups import LayerGroup
from evaluators.graphs.number_format import number_format
from hwprofiles import Precision

FLOAT_BITS = 32

_INPUTS_STAY_FLOAT = (Precision.INT8_WEIGHT, Precision.INT4_WEIGHT)


def bits_of(name: str) -> tuple[int, int]:
    """Returns the bits of a weight and of an input for a precision or number format.

    >>> bits_of("int8"), bits_of("int4_weight"), bits_of("e4m3")
    ((8, 8), (4, 32), (8, 8))
    """
    if name in list(Precision):
        precision = Precision(name)
        return precision.weight_bits, FLOAT_BITS if precision in _INPUTS_STAY_FLOAT else precision.weight_bits
    bits = number_format(name).bits
    return bits, bits


def bit_operations(groups: Sequence[LayerGroup], formats: Mapping[str, str]) -> int:
    """Counts the bit-operations of one sample: multiply-accumulates times weight bits times input bits of each layer.

    Groups that ``formats`` does not name are fp32. Counted as in FLIQS (Dotzel et al., 2023), where 16-bit floats,
    8 and 4 bits relate as 16 : 4 : 1.
    """
    total = 0
    for group in groups:
        weight, value = bits_of(formats.get(group.name, Precision.FP32.value))
        total += group.macs * weight * value
    return total
