"""Tensors as they pass between models: arrays by name, and what a model takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class TensorSpec:
    """Name, NumPy type name, and shape of a model's input or output; None stands for a dimension that varies."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def admits(self, shape: Sequence[int]) -> bool:
        """Whether values of this shape fit."""
        return len(shape) == len(self.shape) and all(
            size in (None, own) for own, size in zip(shape, self.shape, strict=True)
        )

    def rows(self, samples: Array, start: int, stop: int) -> Array:
        """Samples ``start`` to ``stop`` as the model takes them.

        ``samples`` has the samples along its first axis. A model input of the same rank takes them as a batch; one of a
        rank less has no batch axis and takes a single sample, which of a scalar is an array without axes.
        """
        if samples.ndim == len(self.shape):
            return samples[start:stop]
        return samples[start : start + 1].reshape(samples.shape[1:])
