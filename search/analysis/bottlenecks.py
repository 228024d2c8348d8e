"""Bottlenecks of a model: why it is not faster, by its nodes and their times."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evaluators.devices.execution import FLOAT, STORED, Execution, computes_in_integers, match_layers, multiplies
from evaluators.runtimes.base import TimedNode

_CONVERTING = {
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast", "ReorderInput", "ReorderOutput",
}  # fmt: skip
# Inserted by the runtime around layers of another memory layout; those of a model have other names.
_LAYOUT = re.compile(r"^Transpose(_token_\d+)?$")

NOTICEABLE = 0.1
"""Least share of the time that is reported."""


@dataclass(frozen=True)
class Bottleneck:
    """One reason why a model is not faster."""

    kind: str
    """For programs."""
    text: str
    """For people."""
    share: float | None = None
    """Share of the time that it concerns; None if it is not about time."""


def find_bottlenecks(
    model: Execution,
    against: Execution | None,
    *,
    latency_ms: float,
    speedup: tuple[float, float, float] | None,
    provider: str,
    lanes: int,
) -> list[Bottleneck]:
    """Find the bottlenecks of a model whose nodes were timed, those with most time first.

    ``against`` is the other model, ``speedup`` (with its interval) its time over this one's. ``provider`` is where
    nodes should run; ``lanes`` is the number of 32-bit values in a vector of the device (0: unknown).
    """
    total = model.total_ms
    if total <= 0:
        return [Bottleneck("unknown", "the runtime does not say where the time goes")]
    bottlenecks = [
        *_fallbacks(model.nodes, provider, total),
        *_conversions(model.nodes, total),
        *_still_float(model, total),
        *_weight_only_layers(model.nodes, total),
        *_other_work(model, total),
        *_overhead(model.nodes, latency_ms, total),
        *_lanes(model, lanes, total),
    ]
    if against is not None and speedup is not None:
        bottlenecks += [*_comparison(model, against, speedup), *_int8_activations(model.nodes, speedup)]
    return sorted(bottlenecks, key=lambda bottleneck: -(bottleneck.share or 0.0))


def _converts(node: TimedNode) -> bool:
    return node.operator in _CONVERTING or bool(_LAYOUT.match(node.name))


def _share(nodes: Sequence[TimedNode], total: float) -> float:
    return sum(node.ms for node in nodes) / total


def _operators(nodes: Sequence[TimedNode]) -> str:
    counts = Counter(node.operator for node in nodes).most_common(4)
    return ", ".join(f"{operator} {count}x" for operator, count in counts)


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _slowest(nodes: Sequence[TimedNode], most: int = 3) -> str:
    slowest = sorted(nodes, key=lambda node: -node.ms)
    named = ", ".join(f"{node.name} ({node.ms:.3f} ms)" for node in slowest[:most])
    return named + (f" and {len(nodes) - most} more" if len(nodes) > most else "")


def _fallbacks(nodes: Sequence[TimedNode], provider: str, total: float) -> list[Bottleneck]:
    away = [node for node in nodes if provider and node.provider != provider]
    if not away:
        return []
    places = ", ".join(sorted({node.provider for node in away}))
    return [
        Bottleneck(
            "fallback",
            f"{_count(away, 'node')} ran on {places}, not on {provider}: {_slowest(away)}",
            _share(away, total),
        )
    ]


def _conversions(nodes: Sequence[TimedNode], total: float) -> list[Bottleneck]:
    converting = [node for node in nodes if _converts(node)]
    share = _share(converting, total)
    if share < NOTICEABLE:
        return []
    return [
        Bottleneck(
            "conversions",
            f"{share:.0%} of the time goes into converting numbers and layouts ({_operators(converting)}): "
            "neighbouring layers of one precision convert less often",
            share,
        )
    ]


def _still_float(model: Execution, total: float) -> list[Bottleneck]:
    if not any(computes_in_integers(node.operator) for node in model.nodes):
        return []
    still = [layer.node for layer in model.layers if layer.node.operator in FLOAT]
    share = _share(still, total)
    if share < NOTICEABLE:
        return []
    return [
        Bottleneck(
            "float_layers", f"{share:.0%} of the time is in layers that are still float: {_slowest(still)}", share
        )
    ]


def _weight_only_layers(nodes: Sequence[TimedNode], total: float) -> list[Bottleneck]:
    stored = [node for node in nodes if node.operator in STORED]
    if not stored:
        return []
    return [
        Bottleneck(
            "stored_weights",
            f"{_count(stored, 'layer')} with weights only stored in fewer bits and multiplied in float: "
            "smaller, not faster",
            _share(stored, total),
        )
    ]


def _other_work(model: Execution, total: float) -> list[Bottleneck]:
    if not any(node.inputs or node.outputs for node in model.nodes):
        return []  # the runtime does not say what its nodes read: layers cannot be told from other work
    layers = {id(layer.node) for layer in model.layers}
    weightless = [node for node in model.nodes if id(node) not in layers and not _converts(node)]
    share = _share(weightless, total)
    if share < 2 * NOTICEABLE:
        return []
    return [
        Bottleneck(
            "other_operators",
            f"{share:.0%} of the time is in operators without weights ({_operators(weightless)}), which neither "
            "precision nor pruning of layers speeds up by itself",
            share,
        )
    ]


def _overhead(nodes: Sequence[TimedNode], latency_ms: float, total: float) -> list[Bottleneck]:
    """Overhead of many small nodes: the latency beyond the sum of their times."""
    share = 1 - total / latency_ms if latency_ms > 0 else 0.0
    if share < NOTICEABLE:
        return []
    return [
        Bottleneck(
            "overhead",
            f"{share:.0%} of the latency is outside the {_count(nodes, 'node')}: calling them, and the interface",
            share,
        )
    ]


def _lanes(model: Execution, lanes: int, total: float) -> list[Bottleneck]:
    odd = [
        layer.node
        for layer in model.layers
        if lanes and "Conv" in layer.node.operator and layer.weight[0] > 1 and layer.weight[0] % lanes
    ]
    share = _share(odd, total)
    if share < NOTICEABLE:
        return []
    return [
        Bottleneck(
            "channels",
            f"{share:.0%} of the time is in {_count(odd, 'convolution')} whose output channels are no multiple of "
            f"{lanes}, the numbers in a vector of this device: {_slowest(odd)}",
            share,
        )
    ]


def _comparison(model: Execution, against: Execution, speedup: tuple[float, float, float]) -> list[Bottleneck]:
    ratio, low, high = speedup
    bottlenecks = []
    if low <= 1.0 <= high:
        bottlenecks.append(
            Bottleneck("no_difference", f"no difference can be told: {ratio:.2f}x, interval {low:.2f} to {high:.2f}")
        )
    elif high < 1.0:
        bottlenecks.append(Bottleneck("slower", f"it is slower: {ratio:.2f}x, interval {low:.2f} to {high:.2f}"))
    slower = [(ours, theirs) for ours, theirs in match_layers(model, against) if ours.node.ms > 1.05 * theirs.node.ms]
    lost = sum(ours.node.ms - theirs.node.ms for ours, theirs in slower) / model.total_ms
    if lost >= NOTICEABLE / 2:
        slower.sort(key=lambda pair: pair[1].node.ms - pair[0].node.ms)
        named = ", ".join(f"{o.node.name} {o.node.ms:.3f} ms, was {t.node.ms:.3f}" for o, t in slower[:3])
        bottlenecks.append(
            Bottleneck(
                "slower_layers",
                f"{_count(slower, 'layer')} slower than in the other model: {named}",
                lost,
            )
        )
    ours, theirs = (sum(layer.macs for layer in execution.layers) for execution in (model, against))
    if ours and theirs / ours > max(1.2, 1.2 * ratio):
        bottlenecks.append(
            Bottleneck(
                "arithmetic",
                f"the arithmetic fell {theirs / ours:.1f}x, the latency {ratio:.1f}x: it is not what takes the time",
            )
        )
    return bottlenecks


def _int8_activations(nodes: Sequence[TimedNode], speedup: tuple[float, float, float]) -> list[Bottleneck]:
    signed = [
        node
        for node in nodes
        if node.operator.startswith("QLinear")
        and multiplies(node.operator)
        and node.inputs[:1]
        and node.inputs[0][0] == "int8"
    ]
    if not signed or speedup[1] > 1.0:
        return []
    return [
        Bottleneck(
            "signed_activations",
            f"{_count(signed, 'layer')} with signed activations (int8); many processors only gain from unsigned ones: "
            "a search asks the device which it likes",
        )
    ]
