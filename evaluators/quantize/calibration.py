"""Calibrates the ranges of activations by running the fp32 model on calibration data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from evaluators.graphs.graph import Graph
from evaluators.graphs.model import load_model
from evaluators.graphs.reference_run import ReferenceRun
from evaluators.graphs.shapes import element_types
from evaluators.tensors import Array
from hwprofiles.digest import digest_of
from hwprofiles.errors import BuildFailed, InvalidInput

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy")

PERCENTILE = 99.99
"""Percentage of magnitudes within a ``percentile`` range."""

BINS = 2048
"""Bins of a histogram of magnitudes."""
_LEVELS = 128  # magnitudes that int8 distinguishes
_STEP = 16  # bins between two thresholds that ``entropy`` compares


@dataclass(frozen=True)
class Ranges:
    """Calibrated ranges of tensors."""

    values: Mapping[str, tuple[float, float]]
    """Lowest and highest value by tensor name."""
    method: str = "minmax"
    samples: int = 0
    """Number of calibration samples."""

    def of(self, tensor: str) -> tuple[float, float]:
        """Returns the range of a tensor; raises :class:`BuildFailed` if it was not calibrated."""
        if tensor not in self.values:
            raise BuildFailed(f"the tensor {tensor!r} was not calibrated", "calibrate all of activation_tensors")
        return self.values[tensor]

    @cached_property
    def digest(self) -> str:
        """A digest of method, samples and all ranges."""
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Returns the ranges as JSON-able data."""
        values = {name: [low, high] for name, (low, high) in self.values.items()}
        return {"method": self.method, "samples": self.samples, "values": values}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ranges:
        """Creates ranges from the result of :meth:`to_dict`."""
        values = {str(name): (float(low), float(high)) for name, (low, high) in data["values"].items()}
        return cls(values, str(data["method"]), int(data["samples"]))


def calibrate(
    model: Path | bytes | onnx.ModelProto,
    batches: Iterable[Mapping[str, Array]],
    tensors: Iterable[str] | None = None,
    method: Method = "minmax",
    *,
    between_batches: Callable[[], None] | None = None,
    threads: int = 1,
) -> Ranges:
    """Runs the fp32 model on calibration data and observes the range of each tensor.

    ``batches`` are feeds by input name; all methods except ``minmax`` read them twice, so they must not be a generator.
    ``tensors`` are names in the model, None for every float activation. ``between_batches`` is called after each batch.
    Memory does not grow with the number of batches.

    ``minmax`` takes the extremes. The other methods clip them to a magnitude: ``percentile`` to that below which
    ``PERCENTILE`` % of the values lie, ``entropy`` to that whose quantised histogram diverges least from the whole one
    (Migacz, "8-bit inference with TensorRT", GTC 2017).

    Raises:
        BuildFailed: an activation is NaN or infinite, there are no batches, or the runtime refuses model or feed.
        InvalidInput: a method or tensor is unknown, or ``batches`` cannot be read twice.
    """
    if method not in METHODS:
        raise InvalidInput(f"calibration method {method!r} is unknown", f"use one of {', '.join(METHODS)}")
    if method != "minmax" and iter(batches) is batches:
        raise InvalidInput(f"{method} calibration reads the batches twice", "pass a list, not a generator")
    proto = _proto(model)
    names = _float_tensors(proto, tensors)
    run = ReferenceRun(proto, names, threads, between_batches)
    lows, highs = dict.fromkeys(names, math.inf), dict.fromkeys(names, -math.inf)
    samples = 0
    for feed, values in run(batches):
        samples += max((len(array) for array in feed.values() if array.ndim), default=1)
        for name, value in values.items():
            if value.size == 0:
                continue
            low, high = float(value.min()), float(value.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                raise BuildFailed(
                    f"the activation {name!r} holds NaN or infinity on calibration data",
                    "check the calibration data and the model's weights",
                )
            lows[name], highs[name] = min(lows[name], low), max(highs[name], high)
    if not samples:
        raise BuildFailed("there is no calibration data", "give at least one batch")
    # A tensor that was always empty (an expert that no sample chose) has no values; its range does not matter.
    ranges = {name: (lows[name], highs[name]) if lows[name] <= highs[name] else (0.0, 0.0) for name in names}
    if method == "minmax":
        return Ranges(ranges, method, samples)
    peaks = {name: max(-low, high, 0.0) for name, (low, high) in ranges.items()}
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for _, values in run(batches):
        for name, value in values.items():
            if peaks[name] > 0:
                counts[name] += _histogram(value, peaks[name])
    threshold = _percentile_bin if method == "percentile" else _entropy_bin
    for name in names:
        if counts[name].any():
            limit = threshold(counts[name]) * peaks[name] / BINS
            ranges[name] = max(ranges[name][0], -limit), min(ranges[name][1], limit)
    return Ranges(ranges, method, samples)


def _proto(model: Path | bytes | onnx.ModelProto) -> onnx.ModelProto:
    if isinstance(model, Path):
        return load_model(model)
    if isinstance(model, bytes):
        return onnx.ModelProto.FromString(model)
    return model


def _float_tensors(model: onnx.ModelProto, tensors: Iterable[str] | None) -> tuple[str, ...]:
    graph = Graph(model.graph)
    activations = graph.producers.keys() | graph.inputs
    if tensors is not None:
        names = tuple(dict.fromkeys(tensors))
        unknown = [name for name in names if name not in activations]
        if unknown:
            raise InvalidInput(f"the model has no activation {unknown[0]!r}", "name tensors of the model to calibrate")
        return names
    types = element_types(model)
    floats = {name for name, kind in types.items() if kind == onnx.TensorProto.FLOAT}
    return tuple(name for name in (*sorted(graph.inputs), *graph.producers) if name in floats)


def _histogram(value: Array, peak: float) -> NDArray[np.int64]:
    bins = (np.abs(value.ravel()) * np.float64(BINS / peak)).astype(np.int64)
    return np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)


def _percentile_bin(counts: NDArray[np.int64]) -> int:
    share = np.cumsum(counts) / counts.sum()
    return int(np.searchsorted(share, PERCENTILE / 100)) + 1


def _entropy_bin(counts: NDArray[np.int64]) -> int:
    """Returns the number of bins whose quantised histogram has the least Kullback-Leibler divergence from the whole."""
    total = counts.astype(np.float64)
    total[0] = total[1]  # zeros are exact at any threshold; those of a Relu would dominate
    best, best_divergence = BINS, math.inf
    for count in range(_LEVELS, BINS + 1, _STEP):
        reference = total[:count].copy()
        reference[-1] += total[count:].sum()
        edges = np.arange(_LEVELS) * count // _LEVELS
        nonzero = total[:count] > 0
        sums = np.add.reduceat(total[:count], edges)
        sizes = np.add.reduceat(nonzero.astype(np.float64), edges)
        level = np.searchsorted(edges, np.arange(count), side="right") - 1
        quantised = np.where(nonzero, (sums / np.maximum(sizes, 1))[level], 0)
        divergence = _divergence(reference, quantised)
        if divergence < best_divergence:
            best, best_divergence = count, divergence
    return best


def _divergence(reference: NDArray[np.float64], quantised: NDArray[np.float64]) -> float:
    if not quantised.any():
        return math.inf
    p, q = reference / reference.sum(), quantised / quantised.sum()
    # Where only q is 0, a small probability replaces it.
    mask = p > 0
    return float(np.sum(p[mask] * np.log(p[mask] / np.maximum(q[mask], 1e-6))))
