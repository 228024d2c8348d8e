"""Bounds on a described device's speed: the shortest time that its peak rates allow, layer by layer.

A layer takes as long as the slower of computing and moving data (Williams, Waterman and Patterson, "Roofline",
Communications of the ACM, 2009). Only layer groups count: other operators, the runtime's own work and caches do not.
Real devices are slower, each by another factor: a latency is "at best", a speed-up "at most", and neither has an
interval. Records made from them are marked ``simulated``.
"""

from __future__ import annotations

from typing import Any

from evaluators.graphs.bit_operations import bit_operations
from evaluators.graphs.layer_cost import FLOAT_BYTES, LayerCost
from evaluators.modelled.candidate import ModelledCandidate
from hwprofiles.peaks import Peaks
from hwprofiles.precision import Precision

# Bits of a layer's inputs and outputs in memory, if not 32.
_MOVED_BITS = {Precision.INT8: 8}


def roofline_metrics(candidate: ModelledCandidate, peaks: Peaks, batch: int = 1) -> dict[str, Any]:
    """Bounds on a candidate's speed for ``batch`` samples in one inference.

    The lowest ``latency_ms``, its ``speedup`` over fp32, and ``bit_operations``. Only precisions and costs matter.
    """
    groups = candidate.groups
    latency_ms = sum(layer_ms(candidate.cost(group), candidate.precision(group), peaks, batch) for group in groups)
    fp32_ms = sum(layer_ms(LayerCost.of_group(group), Precision.FP32, peaks, batch) for group in groups)
    return {
        "latency_ms": {"p50": latency_ms, "n": 0},
        "speedup": {"ratio": fp32_ms / latency_ms if latency_ms else 1.0},
        "bit_operations": bit_operations(candidate.changed_groups, candidate.precisions) * batch,
    }


def layer_ms(cost: LayerCost, precision: Precision, peaks: Peaks, batch: int = 1) -> float:
    """Returns the lowest time of a layer group in ms: of computing, or of moving stored weights, inputs and outputs."""
    weight_bytes = cost.stored_bytes * precision.weight_bits / (8 * FLOAT_BYTES)
    moved_bytes = weight_bytes + cost.values * batch * _MOVED_BITS.get(precision, 32) / 8
    return 1000 * max(2 * cost.macs * batch / peaks.rate(precision), moved_bytes / peaks.bytes_per_s)
