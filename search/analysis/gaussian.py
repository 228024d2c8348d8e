"""Signal to noise of quantised and of pruned normally distributed weights, to compare a model's weights with.

Kuzmin et al., *Pruning vs Quantization: Which is Better?*, NeurIPS 2023.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FLOAT_BITS = 16
"""Bits of an uncompressed weight. Compression is relative to 16-bit floats, which are practically lossless: 8 bits a
weight and half of the weights both are a factor of 2."""

_CLIPPING = np.linspace(0.2, 6.0, 1161)
"""Clipping ranges to try, in standard deviations."""


def compression(bits: int) -> float:
    """Returns the compression factor of weights of ``bits`` bits, relative to 16-bit floats."""
    return FLOAT_BITS / bits


def weight_share(bits: int) -> float:
    """Returns the share of 16-bit weights that is as large as all of them in ``bits`` bits.

    Neither quantisation scales nor positions of remaining weights are counted.
    """
    return bits / FLOAT_BITS


def quantisation_db(bits: int) -> float:
    """Signal to noise in dB of a standard normal value in a symmetric uniform format of ``bits`` bits (at least 2).

    With the range of least squared error, found on a fine grid; the error is exact for each range.
    """
    from scipy.special import ndtr

    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    steps = (_CLIPPING / 2 ** (bits - 1))[:, None]
    uniform_levels = np.arange(lowest, highest + 1)[None, :] * steps
    edges = uniform_levels[:, :-1] + steps / 2
    infinite = np.full((len(steps), 1), np.inf)
    left, right = np.hstack([-infinite, edges]), np.hstack([edges, infinite])
    # The integral of (x - level)^2 under the normal density, between the edges of each level.
    share = ndtr(right) - ndtr(left)
    moment = _x_density(right) - _x_density(left)
    slope = _density(right) - _density(left)
    errors = (share * (1 + uniform_levels**2) - moment + 2 * uniform_levels * slope).sum(1)
    return float(-10 * np.log10(errors.min()))


def pruning_db(bits: int) -> float:
    """Signal to noise in dB of standard normal values after magnitude pruning to the size of ``bits`` bits. Exact."""
    from scipy.special import ndtri

    removed = 1 - weight_share(bits)
    threshold = np.array(ndtri(0.5 + removed / 2))
    error = removed - 2 * _x_density(threshold)
    return float(-10 * np.log10(error))


def _density(x: Floats) -> Floats:
    return np.asarray(np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), np.float64)


def _x_density(x: Floats) -> Floats:
    """``x`` times the density, which is 0 at both infinities."""
    return np.where(np.isfinite(x), x, 0.0) * _density(x)
