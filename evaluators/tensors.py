"""Arrays by name, and specifications of a model's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class TensorSpec:
    """A model's input or output."""

    name: str
    dtype: str
    """NumPy's name of the type."""
    shape: tuple[int | None, ...]
    """Sizes; None for a dimension that varies."""

    def admits(self, shape: Sequence[int]) -> bool:
        """Returns whether values of this shape are valid."""
        return len(shape) == len(self.shape) and all(
            size in (None, own) for own, size in zip(shape, self.shape, strict=True)
        )

    def rows(self, samples: Array, start: int, stop: int) -> Array:
        """Slices samples ``start`` to ``stop`` (samples along the first axis) into the shape of this input.

        An input of the same rank gets them as a batch. An input of one rank less has no batch axis and gets the single
        sample ``start``, as an array without axes if it is a scalar.
        """
        if samples.ndim == len(self.shape):
            return samples[start:stop]
        return samples[start : start + 1].reshape(samples.shape[1:])
