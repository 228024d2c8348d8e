"""Modelled metrics of a described device: the least time that its peaks allow, layer by layer.

A layer takes as long as the slower of its two parts, computing and moving data (Williams, Waterman and Patterson,
"Roofline", Communications of the ACM, 2009). Only what a layer group holds is counted: other operators, the runtime's
own work and the caches are not. Real devices are slower than that, each by another factor. Every record made from this
says ``simulated``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evaluators.bit_operations import bit_operations
from evaluators.layers import LayerGroup
from evaluators.modelled import Pruned, modelled_quality, precisions_of
from hwprofiles.peaks import Peaks
from hwprofiles.precision import Precision

# Bits of a layer's inputs and outputs in memory.
_MOVED_BITS = {Precision.INT8: 8}


def roofline_metrics(
    groups: Sequence[LayerGroup],
    decisions: Mapping[str, str],
    digest: str,
    peaks: Peaks,
    batch: int = 1,
    pruned: Pruned | None = None,
) -> dict[str, Any]:
    """A candidate's metrics for ``batch`` samples in one inference: ``latency_ms``, ``speedup`` over fp32,
    ``size_bytes`` of the weights, ``bit_operations``, and the same quality that a dry run models.

    Decisions other than precisions, and than those of ``pruned``, change quality only.
    """
    pruned = pruned or Pruned(groups)
    chosen = precisions_of(groups, decisions)
    latency_ms = sum(layer_ms(group, chosen[group.name], peaks, batch) for group in pruned.groups)
    fp32_ms = sum(layer_ms(group, Precision.FP32, peaks, batch) for group in groups)
    ratio = fp32_ms / latency_ms if latency_ms else 1.0
    return {
        **modelled_quality(groups, decisions, digest, pruned),
        "latency_ms": {"p50": latency_ms, "ci95": [latency_ms, latency_ms], "n": 0},
        "speedup": {"ratio": ratio, "ci95": [ratio, ratio]},
        "size_bytes": math.ceil(sum(weight_bytes(group, chosen[group.name]) for group in pruned.groups)),
        "bit_operations": bit_operations(pruned.groups, {name: one.value for name, one in chosen.items()}) * batch,
    }


def layer_ms(group: LayerGroup, precision: Precision, peaks: Peaks, batch: int = 1) -> float:
    """The least time of a layer group in a precision: of computing, or of moving weights, inputs and outputs."""
    moved_bytes = weight_bytes(group, precision) + group.values * batch * _MOVED_BITS.get(precision, 32) / 8
    return 1000 * max(2 * group.macs * batch / peaks.rate(precision), moved_bytes / peaks.bytes_per_s)


def weight_bytes(group: LayerGroup, precision: Precision) -> float:
    """Bytes of a layer group's weights."""
    return group.weights * precision.weight_bits / 8
