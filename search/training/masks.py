"""Sparsity masks: keep the weights of largest magnitude, unstructured or N:M."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from hwprofiles.errors import InvalidInput


class Pattern(ABC):
    """Sparsity pattern of a weight ``(outputs, inputs, …)``."""

    @abstractmethod
    def fits(self, weight: Tensor) -> bool:
        """Returns whether the weight's shape allows the pattern."""

    @abstractmethod
    def mask(self, weight: Tensor, sparsity: float) -> Tensor:
        """Computes a mask of the weight's shape, True for weights that stay. Removes the smallest magnitudes, of equal
        ones the first."""


@dataclass(frozen=True)
class Unstructured(Pattern):
    """Zeros anywhere: ``sparsity`` of the weights, rounded to the nearest whole number of them."""

    def fits(self, weight: Tensor) -> bool:
        """See :meth:`Pattern.fits`."""
        return True

    def mask(self, weight: Tensor, sparsity: float) -> Tensor:
        """See :meth:`Pattern.mask`."""
        order = weight.detach().abs().flatten().argsort(stable=True)
        kept = torch.ones_like(order, dtype=torch.bool)
        kept[order[: math.floor(sparsity * len(order) + 0.5)]] = False
        return kept.view(weight.shape)


@dataclass(frozen=True)
class InGroups(Pattern):
    """N:M sparsity: each group of consecutive weights along the inputs has the same number of zeros.

    Groups of 4 at sparsity 0.5 are 2:4, which NVIDIA's sparse tensor cores support (Mishra et al., arXiv:2104.08378,
    2021).
    """

    group: int = 4
    """Weights in a group."""

    def __post_init__(self) -> None:
        if self.group < 2:
            raise InvalidInput(
                f"sparsity in groups of {self.group} is not possible", "use groups of 2 or more weights, usually 4"
            )

    def fits(self, weight: Tensor) -> bool:
        """See :meth:`Pattern.fits`; the number of inputs must be a multiple of the group."""
        return weight.ndim >= 2 and weight.shape[1] % self.group == 0

    def mask(self, weight: Tensor, sparsity: float) -> Tensor:
        """See :meth:`Pattern.mask`."""
        along = weight.detach().abs().movedim(1, -1)
        groups = along.reshape(-1, self.group)
        order = groups.argsort(dim=1, stable=True)
        kept = torch.ones_like(groups, dtype=torch.bool)
        kept.scatter_(1, order[:, : math.floor(sparsity * self.group + 1e-9)], False)
        return kept.view(along.shape).movedim(-1, 1)


PATTERNS: dict[str, type[Pattern]] = {"unstructured": Unstructured, "in_groups": InGroups}
