"""What a device can do at most: the two lines of its roofline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hwprofiles.precision import Precision

FORMATS = ("fp32", "tf32", "bf16", "fp16", "int8", "int4")
"""Number formats that a peak may be given for."""

_INTEGER = (Precision.INT8, Precision.INT8_DYNAMIC)


@dataclass(frozen=True)
class Peaks:
    """The most operations and bytes that a device gets through in a second.

    ``operations_per_s`` are pairs of a number format and its rate, a multiplication and an addition counting as two;
    ``bytes_per_s`` is that of the memory. See Williams, Waterman and Patterson, "Roofline: an insightful visual
    performance model for multicore architectures", Communications of the ACM, 2009.
    """

    operations_per_s: tuple[tuple[str, float], ...]
    bytes_per_s: float

    def rate(self, precision: Precision) -> float:
        """Operations in a second of a layer in this precision: integers where the device has a figure for them, else,
        and for precisions that compute in float, as fp32."""
        known = dict(self.operations_per_s)
        return known["int8"] if precision in _INTEGER and "int8" in known else known["fp32"]

    def of_share(self, share: float) -> Peaks:
        """Those of a part of the device's cores, which all of its memory's bandwidth is there for."""
        scaled = tuple((name, value * share) for name, value in self.operations_per_s)
        return replace(self, operations_per_s=scaled)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {"operations_per_s": dict(self.operations_per_s), "bytes_per_s": self.bytes_per_s}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Peaks:
        """The inverse of :meth:`to_dict`; formats in a fixed order, so that equal peaks are equal data."""
        rates = data["operations_per_s"]
        known = tuple((name, float(rates[name])) for name in FORMATS if name in rates)
        return cls(known, float(data["bytes_per_s"]))
