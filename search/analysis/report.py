"""Prune or quantise? Weight error of both at equal size, and the speed-ups of the device."""

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
from search.analysis.noise import Noise, kurtosis, prune, quantise
from search.analysis.weights import LayerWeights, layers_of

Json = dict[str, Any]

BITS = (8, 6, 4, 3, 2)
"""Bits a weight; pruning is compared at equal size."""


@dataclass(frozen=True)
class _Layer:
    """A layer's figures, by bits a weight."""

    weights: LayerWeights
    kurtosis: float | None
    quantised: dict[int, Noise]
    pruned: dict[int, Noise]

    def prefers_quantisation(self, bits: int) -> bool:
        """Returns whether quantisation loses no more than pruning."""
        return self.quantised[bits].error <= self.pruned[bits].error


def analyse_weights(model: onnx.ModelProto) -> Json:
    """Computes signal to noise of every layer's weights, quantised by channel and pruned by layer to equal size.

    ``model`` is cleaned up (:mod:`evaluators.graphs.cleanup`). Raises :class:`InvalidInput` for a model without layers.
    Concerns weights alone: needs no data, and trains nothing.
    """
    layers = [_analyse_layer(layer) for layer in layers_of(model)]
    if not layers:
        raise InvalidInput(
            "the model has no layer whose weights can be analysed",
            "give one with float32 weights in Conv, ConvTranspose, MatMul, Gemm, LSTM or large Gather nodes",
        )
    return {
        "weights": sum(layer.weights.count for layer in layers),
        "bits": [_at(bits, layers) for bits in BITS],
        "layers": [_layer(layer) for layer in layers],
    }


def _analyse_layer(layer: LayerWeights) -> _Layer:
    largest = max(layer.tensors, key=lambda tensor: tensor.size)
    none = Noise(0.0, 0.0)
    return _Layer(
        layer,
        kurtosis(largest),
        {bits: sum((quantise(tensor, bits) for tensor in layer.tensors), none) for bits in BITS},
        {bits: sum((prune(tensor, bits) for tensor in layer.tensors), none) for bits in BITS},
    )


def _at(bits: int, layers: Sequence[_Layer]) -> Json:
    """Returns all layers at one size: medians, and the figures of a normal distribution."""
    return {
        "bits": bits,
        "compression": gaussian.compression(bits),
        "kept_share": gaussian.weight_share(bits),
        "quantised_db": _median([layer.quantised[bits].db for layer in layers]),
        "pruned_db": _median([layer.pruned[bits].db for layer in layers]),
        "layers_better_quantised": sum(layer.prefers_quantisation(bits) for layer in layers),
        "gaussian": {"quantised_db": gaussian.quantisation_db(bits), "pruned_db": gaussian.pruning_db(bits)},
    }


def _layer(layer: _Layer) -> Json:
    return {
        "name": layer.weights.name,
        "operator": layer.weights.operator,
        "weights": layer.weights.count,
        "kurtosis": layer.kurtosis,
        "points": [
            {"bits": bits, "quantised_db": layer.quantised[bits].db, "pruned_db": layer.pruned[bits].db}
            for bits in BITS
        ],
    }


def _median(values: Sequence[float | None]) -> float | None:
    figures = [value for value in values if value is not None]
    return statistics.median(figures) if figures else None


def device_view(profile: Profile, capability: Capability | None) -> Json:
    """Returns a device's speed-ups: by operator and precision the best over fp32 and the least channels for one.

    Also the steps of channels in which fp32 latency grows. Empty if the device was never probed.
    """
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
