"""A device's peak rates: the two lines of its roofline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hwprofiles.precision import Precision

FORMATS = ("fp32", "tf32", "bf16", "fp16", "int8", "int4")
"""Number formats that have a peak rate."""

_INTEGER = (Precision.INT8, Precision.INT8_DYNAMIC)


@dataclass(frozen=True)
class Peaks:
    """The peak rates of computing and of memory.

    See Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
    architectures", Communications of the ACM, 2009.
    """

    operations_per_s: tuple[tuple[str, float], ...]
    """Pairs of number format and rate; a multiplication and an addition count as two operations."""
    bytes_per_s: float
    """Memory bandwidth."""

    def rate(self, precision: Precision) -> float:
        """Operations per second of a layer in this precision.

        The int8 rate for precisions that compute in integers, if the device has one; else the fp32 rate.
        """
        rates = dict(self.operations_per_s)
        return rates["int8"] if precision in _INTEGER and "int8" in rates else rates["fp32"]

    def of_share(self, share: float) -> Peaks:
        """Returns the peaks of a share of the device's cores, with all of its memory bandwidth."""
        scaled = tuple((name, value * share) for name, value in self.operations_per_s)
        return replace(self, operations_per_s=scaled)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return {"operations_per_s": dict(self.operations_per_s), "bytes_per_s": self.bytes_per_s}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Peaks:
        """Returns the inverse of :meth:`to_dict`. The order of formats is fixed, so that equal peaks compare equal."""
        rates = data["operations_per_s"]
        operations_per_s = tuple((name, float(rates[name])) for name in FORMATS if name in rates)
        return cls(operations_per_s, float(data["bytes_per_s"]))
