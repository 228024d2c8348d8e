"""Prune or quantise? What both leave of a model's weights at equal size, and what the device gains."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from evaluators.probing.capability import Capability
from hwprofiles import Precision, Profile
from hwprofiles.errors import InvalidInput
from search.analysis import gaussian
from search.analysis.noise import Noise, kurtosis, pruned, quantised
from search.analysis.weights import LayerWeights, layers_of

Json = dict[str, Any]

BITS = (8, 6, 4, 3, 2)
"""Bits a weight, which decide how many weights pruning may keep."""


@dataclass(frozen=True)
class _Layer:
    """A layer's figures: by bits what quantisation, and what pruning leaves."""

    weights: LayerWeights
    kurtosis: float | None
    quantised: dict[int, Noise]
    pruned: dict[int, Noise]

    def better_quantised(self, bits: int) -> bool:
        """Whether quantisation loses no more than pruning does."""
        return self.quantised[bits].error <= self.pruned[bits].error


def analysed(model: onnx.ModelProto) -> Json:
    """Signal to noise of every layer's weights, quantised by channel and magnitude-pruned by layer to equal size.

    ``model`` is prepared (:mod:`evaluators.graphs.cleanup`). Raises :class:`InvalidInput` for one without layers. All
    figures are of weights alone: no data is needed, nothing is trained after either.
    """
    found = [_analysed(layer) for layer in layers_of(model)]
    if not found:
        raise InvalidInput(
            "the model has no layer whose weights can be analysed",
            "give one with float32 weights in Conv, ConvTranspose, MatMul, Gemm, LSTM or large Gather nodes",
        )
    return {
        "weights": sum(one.weights.count for one in found),
        "bits": [_at(bits, found) for bits in BITS],
        "layers": [_layer(one) for one in found],
    }


def _analysed(layer: LayerWeights) -> _Layer:
    largest = max(layer.tensors, key=lambda tensor: tensor.size)
    none = Noise(0.0, 0.0)
    return _Layer(
        layer,
        kurtosis(largest),
        {bits: sum((quantised(one, bits) for one in layer.tensors), none) for bits in BITS},
        {bits: sum((pruned(one, bits) for one in layer.tensors), none) for bits in BITS},
    )


def _at(bits: int, layers: Sequence[_Layer]) -> Json:
    """All layers at one size: their medians, and what a normal distribution would give."""
    return {
        "bits": bits,
        "compression": gaussian.compression(bits),
        "kept_share": gaussian.kept_share(bits),
        "quantised_db": _median([one.quantised[bits].db for one in layers]),
        "pruned_db": _median([one.pruned[bits].db for one in layers]),
        "layers_better_quantised": sum(one.better_quantised(bits) for one in layers),
        "gaussian": {"quantised_db": gaussian.quantised_db(bits), "pruned_db": gaussian.pruned_db(bits)},
    }


def _layer(one: _Layer) -> Json:
    return {
        "name": one.weights.name,
        "operator": one.weights.operator,
        "weights": one.weights.count,
        "kurtosis": one.kurtosis,
        "points": [
            {"bits": bits, "quantised_db": one.quantised[bits].db, "pruned_db": one.pruned[bits].db} for bits in BITS
        ],
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def device_view(profile: Profile, capability: Capability | None) -> Json:
    """What a device gains: by operator and precision the best speed-up over fp32 and from how many channels on it
    pays, and in which steps of channels fp32 latency grows; nothing where it was never asked."""
    sweeps = () if capability is None else capability.sweeps
    return {
        "device": profile.device,
        "profile_digest": profile.digest,
        "asked": capability is not None,
        "gains": [
            {
                "operator": sweep.operator,
                "precision": sweep.precision.value,
                "activations": sweep.activations or None,
                "best_ratio": max((p.ratio for p in sweep.points if p.ratio is not None), default=None),
                "pays_from": min((p.width for p in sweep.points if p.ci95 and p.ci95[0] > 1.0), default=None),
            }
            for sweep in sweeps
            if sweep.precision is not Precision.FP32
        ],
        "steps": {
            sweep.operator: sweep.granularity.step
            for sweep in sweeps
            if sweep.precision is Precision.FP32 and sweep.granularity is not None
        },
    }
