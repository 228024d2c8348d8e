"""Makes up metrics for dry runs from the graph and the candidate's digest alone.

Deterministic on every machine. The figures behave like real ones (lower precision is faster and less accurate, some
layers hardly matter, small layers gain nothing) but mean nothing; records made from them are marked ``simulated``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluators.graphs.layer_groups import LayerGroup
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


@dataclass(frozen=True)
class Pruned:
    """A candidate's layer groups after pruning."""

    groups: Sequence[LayerGroup]
    """The groups as the candidate's decisions narrow them."""
    kept: Mapping[str, float] = field(default_factory=dict)
    """The share that each pruning decision keeps, by the decision's name."""


def dry_run_metrics(
    groups: Sequence[LayerGroup],
    decisions: Mapping[str, str],
    digest: str,
    profile: Profile | None = None,
    pruned: Pruned | None = None,
) -> dict[str, Any]:
    """Makes up a candidate's metrics.

    ``decisions`` named ``precision:GROUP`` set a group's precision, those of ``pruned`` narrow it; any other value
    changes speed and quality by an amount of its own. ``profile`` gives threads and batch (None: one of each).
    """
    pruned = pruned or Pruned(groups)
    threads, batch = (1, 1) if profile is None else (profile.threads, profile.batch)
    spread = batch / threads**_SCALING
    setting = "" if threads == batch == 1 else f" {threads} {batch}"
    latency_ms, size_bytes = 0.05, 1000.0
    total = sum(max(group.macs, group.weights, 1) for group in groups) or 1
    chosen = precisions_of(groups, decisions)
    for group in pruned.groups:
        precision = chosen[group.name]
        work = max(group.macs, group.weights, 1)
        gain = 1 + (_SPEED[precision] - 1) * min(1.0, 10 * work / total)
        latency_ms += _OVERHEAD_MS + spread * work / 1e9 / _GIGAMACS_PER_MS / gain
        size_bytes += group.weights * precision.weight_bits / 8
    for name, value in _other_decisions(groups, decisions, pruned):
        latency_ms *= 1 - 0.1 * (_unit(f"speed {name} {value}") - 0.5)
    baseline_ms = 0.05 + sum(
        _OVERHEAD_MS + spread * max(g.macs, g.weights, 1) / 1e9 / _GIGAMACS_PER_MS for g in groups
    )  # fmt: skip
    latency_ms *= 0.99 + 0.02 * _unit(f"latency {digest}{setting}")
    ratio = baseline_ms / latency_ms
    return {
        **dry_run_quality(groups, decisions, digest, pruned),
        "latency_ms": {"p50": round(latency_ms, 6), "ci95": _around(latency_ms), "n": 0},
        "speedup": {"ratio": round(ratio, 6), "ci95": _around(ratio)},
        "size_bytes": math.ceil(size_bytes),
        "peak_memory_bytes": math.ceil(2 * size_bytes),
    }


def dry_run_quality(
    groups: Sequence[LayerGroup], decisions: Mapping[str, str], digest: str, pruned: Pruned | None = None
) -> dict[str, float]:
    """Makes up a candidate's accuracy and its cosine to the fp32 model; the same on every device."""
    pruned = pruned or Pruned(groups)
    loss = sum(0.04 * _unit(f"pruned {name}") ** 2 * (1 - kept) ** 2 for name, kept in sorted(pruned.kept.items()))
    chosen = precisions_of(groups, decisions)
    for group in groups:
        loss += _LOSS[chosen[group.name]] * 0.004 * _unit(f"sensitivity {group.name}") ** 2
    for name, value in _other_decisions(groups, decisions, pruned):
        loss += 1e-4 * _unit(f"loss {name} {value}")
    loss *= 0.98 + 0.04 * _unit(f"quality {digest}")
    return {"accuracy": round(_BASELINE_ACCURACY - loss / 2, 6), "cosine": round(1 - loss, 9)}


def _other_decisions(
    groups: Sequence[LayerGroup], decisions: Mapping[str, str], pruned: Pruned
) -> list[tuple[str, str]]:
    """Decisions that are neither precisions nor widths, with their values."""
    precisions = {f"precision:{group.name}" for group in groups}
    return [(name, value) for name, value in sorted(decisions.items()) if name not in precisions | set(pruned.kept)]


def precisions_of(groups: Sequence[LayerGroup], decisions: Mapping[str, str]) -> dict[str, Precision]:
    """The precision of each group by name; fp32 without a decision."""
    by_group = {name.partition(":")[2]: value for name, value in decisions.items() if name.startswith("precision:")}
    return {group.name: Precision(by_group.get(group.name, "fp32")) for group in groups}


def _around(value: float) -> list[float]:
    return [round(value * 0.99, 6), round(value * 1.01, 6)]


def _unit(text: str) -> float:
    """A pseudo-random number from 0 to 1, determined by the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
