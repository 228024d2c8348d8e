"""What quantisation and pruning leave of weights that are normally distributed: the yardstick for a model's own.

Kuzmin et al., *Pruning vs Quantization: Which is Better?*, NeurIPS 2023.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FLOAT_BITS = 16
"""Bits of a weight that is not compressed. Compression is counted against 16-bit floats, which lose nothing that
matters: 8 bits a weight and half of the weights are both a factor of 2."""

_CLIPPING = np.linspace(0.2, 6.0, 1161)
"""Clipping ranges to try, in standard deviations."""


def compression(bits: int) -> float:
    """How many times smaller than 16-bit floats weights of ``bits`` bits are."""
    return FLOAT_BITS / bits


def kept_share(bits: int) -> float:
    """The share of 16-bit weights that takes as much room as all of them in ``bits`` bits; neither the scales of the
    one nor the places of the other are counted."""
    return bits / FLOAT_BITS


def quantised_db(bits: int) -> float:
    """Signal to noise in dB of a standard normal value in a symmetric uniform format of ``bits`` bits (at least 2), its
    range the one of least squared error. Exact for each range; the range is searched on a fine grid."""
    from scipy.special import ndtr

    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    steps = (_CLIPPING / 2 ** (bits - 1))[:, None]
    levels = np.arange(lowest, highest + 1)[None, :] * steps
    edges = levels[:, :-1] + steps / 2
    infinite = np.full((len(steps), 1), np.inf)
    left, right = np.hstack([-infinite, edges]), np.hstack([edges, infinite])
    # The integral of (x - level)^2 under the normal density, between the edges of each level.
    share = ndtr(right) - ndtr(left)
    moment = _scaled_density(right) - _scaled_density(left)
    slope = _density(right) - _density(left)
    errors = (share * (1 + levels**2) - moment + 2 * levels * slope).sum(1)
    return float(-10 * np.log10(errors.min()))


def pruned_db(bits: int) -> float:
    """Signal to noise in dB of standard normal values of which the smallest are zero, so many that the others take as
    much room as all of them in ``bits`` bits. Exact."""
    from scipy.special import ndtri

    removed = 1 - kept_share(bits)
    threshold = np.array(ndtri(0.5 + removed / 2))
    error = removed - 2 * _scaled_density(threshold)
    return float(-10 * np.log10(error))


def _density(x: Floats) -> Floats:
    return np.asarray(np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), np.float64)


def _scaled_density(x: Floats) -> Floats:
    """``x`` times the density, which is 0 at both infinities."""
    return np.where(np.isfinite(x), x, 0.0) * _density(x)
