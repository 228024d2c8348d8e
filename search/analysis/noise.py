"""Noise of quantisation and of magnitude pruning in a layer's weights, as energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.analysis.gaussian import weight_share

Floats = NDArray[np.float32]

_COARSE = np.geomspace(0.02, 1.0, 20)
"""Ranges to try, as shares of the largest magnitude; a finer search around the best one follows."""

_FINE = np.geomspace(0.84, 1.2, 5)

_AT_ONCE = 1 << 21
"""Weights that are quantised at once, to bound memory."""


@dataclass(frozen=True)
class Noise:
    """The energy (sum of squares) of weights, and of the error of their compressed form."""

    signal: float
    error: float

    def __add__(self, noise: Noise) -> Noise:
        return Noise(self.signal + noise.signal, self.error + noise.error)

    @property
    def db(self) -> float | None:
        """Signal to noise in dB; None for lossless weights."""
        if self.error <= 0 or self.signal <= 0:
            return None
        return float(10 * np.log10(self.signal / self.error))


def quantise(weights: Floats, bits: int) -> Noise:
    """Quantises ``weights`` of shape (channels, values) to symmetric integers of ``bits`` bits (at least 2).

    Each channel has the scale of least squared error.
    """
    highest = 2 ** (bits - 1) - 1
    rows = max(1, _AT_ONCE // max(1, weights.shape[1]))
    error = 0.0
    for start in range(0, len(weights), rows):
        part = weights[start : start + rows]
        usual = np.maximum(np.abs(part).max(1, keepdims=True), np.float32(1e-30)) / np.float32(highest)
        coarse = np.stack([_errors(part, usual * np.float32(share), highest) for share in _COARSE])
        best = _COARSE[coarse.argmin(0)].astype(np.float32)[:, None]
        fine = np.stack([_errors(part, usual * best * np.float32(share), highest) for share in _FINE])
        error += float(np.minimum(coarse.min(0), fine.min(0)).sum())
    return Noise(_energy(weights), error)


def prune(weights: Floats, bits: int) -> Noise:
    """Prunes the smallest magnitudes of ``weights``, until the rest in 16 bits is as large as all in ``bits`` bits."""
    squares = np.sort(np.square(weights, dtype=np.float64), axis=None)
    removed = squares.size - round(squares.size * weight_share(bits))
    return Noise(float(squares.sum()), float(squares[:removed].sum()))


def kurtosis(weights: Floats) -> float | None:
    """Returns the fourth standardised moment: 3 for a normal distribution, more for heavy tails; None for equal
    weights."""
    centred = weights.astype(np.float64) - float(weights.mean(dtype=np.float64))
    variance = float(np.mean(centred**2))
    return float(np.mean(centred**4)) / variance**2 if variance > 0 else None


def _errors(weights: Floats, scales: Floats, highest: int) -> NDArray[np.float64]:
    """Returns the energy of each channel's error, given one scale for each: ``(channels, 1)``."""
    uniform_levels = np.clip(np.rint(weights / scales), -highest - 1, highest)
    uniform_levels *= scales
    uniform_levels -= weights
    return np.asarray(np.einsum("ij,ij->i", uniform_levels, uniform_levels, dtype=np.float64))


def _energy(weights: Floats) -> float:
    return float(np.einsum("ij,ij->", weights, weights, dtype=np.float64))
