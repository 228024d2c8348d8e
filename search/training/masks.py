"""Which weights stay: the largest ones, anywhere or in every few."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from hwprofiles.errors import InvalidInput


class Pattern(ABC):
    """Where zeros may lie in a weight ``(outputs, inputs, …)``."""

    @abstractmethod
    def fits(self, weight: Tensor) -> bool:
        """Whether a weight of this shape can have the pattern."""

    @abstractmethod
    def mask(self, weight: Tensor, sparsity: float) -> Tensor:
        """True where the weight stays, of its shape; the smallest magnitudes go, of equal ones the first."""


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
    """N:M sparsity: in every ``group`` weights that follow one another along the inputs, equally many are zero, as many
    as ``sparsity`` allows. Of 4, sparsity 0.5 is 2:4, which NVIDIA's sparse tensor cores read (Mishra et al.,
    arXiv:2104.08378, 2021)."""

    group: int = 4

    def __post_init__(self) -> None:
        if self.group < 2:
            raise InvalidInput(
                f"sparsity in groups of {self.group} has no meaning", "group at least 2 weights, usually 4"
            )

    def fits(self, weight: Tensor) -> bool:
        """See :meth:`Pattern.fits`: the inputs must be whole groups."""
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
