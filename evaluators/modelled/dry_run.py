"""Makes up metrics for dry runs from the graph and the candidate's digest alone.

Deterministic on every machine. The figures behave like real ones (lower precision is faster and less accurate, some
layers hardly matter, small layers gain nothing) but mean nothing; records made from them are marked ``simulated``.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from evaluators.graphs.layer_cost import FLOAT_BYTES, LayerCost
from evaluators.modelled.candidate import ModelledCandidate
from hwprofiles import Precision, Profile

_SPEED = {
    Precision.FP32: 1.0, Precision.INT8: 3.5, Precision.INT8_DYNAMIC: 2.4, Precision.INT8_WEIGHT: 1.1,
    Precision.INT4_WEIGHT: 0.9,
}  # fmt: skip
_LOSS = {
    Precision.FP32: 0.0, Precision.INT8: 1.0, Precision.INT8_DYNAMIC: 0.3, Precision.INT8_WEIGHT: 0.1,
    Precision.INT4_WEIGHT: 1.5,
}  # fmt: skip

_GIGAMACS_PER_MS = 0.04
_OVERHEAD_MS = 0.002
_BASELINE_ACCURACY = 0.97
_SCALING = 0.9
"""The speed-up of several threads is their number to this power."""


def dry_run_metrics(candidate: ModelledCandidate, profile: Profile | None = None) -> dict[str, Any]:
    """Makes up a candidate's metrics.

    Values of decisions that set neither precisions nor costs change speed and quality, each by an amount of its own.
    ``profile`` gives threads and batch (None: one of each).
    """
    threads, batch = (1, 1) if profile is None else (profile.threads, profile.batch)
    spread = batch / threads**_SCALING
    setting = "" if threads == batch == 1 else f" {threads} {batch}"
    latency_ms, size_bytes = 0.05, 1000.0
    fp32 = [_work(LayerCost.of_group(group)) for group in candidate.groups]
    total = sum(fp32) or 1
    for group in candidate.groups:
        precision, cost = candidate.precision(group), candidate.cost(group)
        work = _work(cost)
        gain = 1 + (_SPEED[precision] - 1) * min(1.0, 10 * work / total)
        latency_ms += _OVERHEAD_MS + spread * work / 1e9 / _GIGAMACS_PER_MS / gain
        size_bytes += cost.stored_bytes * precision.weight_bits / (8 * FLOAT_BYTES)
    for name, value in sorted(candidate.other_values.items()):
        latency_ms *= 1 - 0.1 * (_unit(f"speed {name} {value}") - 0.5)
    baseline_ms = 0.05 + sum(_OVERHEAD_MS + spread * work / 1e9 / _GIGAMACS_PER_MS for work in fp32)
    latency_ms *= 0.99 + 0.02 * _unit(f"latency {candidate.digest}{setting}")
    ratio = baseline_ms / latency_ms
    return {
        **_quality(candidate),
        "latency_ms": {"p50": round(latency_ms, 6), "ci95": _around(latency_ms), "n": 0},
        "speedup": {"ratio": round(ratio, 6), "ci95": _around(ratio)},
        "size_bytes": math.ceil(size_bytes),
        "peak_memory_bytes": math.ceil(2 * size_bytes),
    }


def _quality(candidate: ModelledCandidate) -> dict[str, float]:
    """Makes up a candidate's accuracy and its cosine to the fp32 model; the same on every device."""
    shares = sorted(candidate.shares_left.items())
    loss = sum(0.04 * _unit(f"pruned {name}") ** 2 * (1 - share) ** 2 for name, share in shares)
    for group in candidate.groups:
        loss += _LOSS[candidate.precision(group)] * 0.004 * _unit(f"sensitivity {group.name}") ** 2
    for name, value in sorted(candidate.other_values.items()):
        loss += 1e-4 * _unit(f"loss {name} {value}")
    loss *= 0.98 + 0.04 * _unit(f"quality {candidate.digest}")
    return {"accuracy": round(_BASELINE_ACCURACY - loss / 2, 6), "cosine": round(1 - loss, 9)}


def _work(cost: LayerCost) -> int:
    return max(cost.macs, cost.weights, 1)


def _around(value: float) -> list[float]:
    return [round(value * 0.99, 6), round(value * 1.01, 6)]


def _unit(text: str) -> float:
    """Returns a pseudo-random number from 0 to 1, determined by the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
