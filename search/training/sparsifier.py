"""Sparsity as a training constraint: weights that stay zero while a module trains."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.training.masks import Pattern, Unstructured
from search.training.schedules import Schedule

_SPARSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Sparsifier:
    """Keeps the smallest weights of linear and convolution layers at exactly zero, following a sparsity schedule.

    A :class:`search.training.constraint.TrainingConstraint`. Every layer has the schedule's sparsity. Masks are
    recomputed from the magnitudes when the sparsity changes; weights that were zero stay zero. ``layers`` limits it to
    the named layers of the module.

    Raises :class:`InvalidInput` for a name that is no linear or convolution layer.
    """

    def __init__(
        self,
        module: nn.Module,
        schedule: Schedule,
        pattern: Pattern | None = None,
        *,
        layers: Collection[str] | None = None,
    ) -> None:
        self.schedule, self.pattern = schedule, pattern or Unstructured()
        candidates = {name: part for name, part in module.named_modules() if isinstance(part, _SPARSE)}
        for name in layers or ():
            if name not in candidates:
                raise InvalidInput(f"sparsity: there is no layer {name!r}", nearest(name, list(candidates)))
        wanted = {name: _weight_of(part) for name, part in candidates.items() if layers is None or name in layers}
        self._weights = {name: weight for name, weight in wanted.items() if self.pattern.fits(weight)}
        self.dense = tuple(name for name in wanted if name not in self._weights)
        """Layers that stay dense because their shape does not fit the pattern."""
        self._masks: dict[str, Tensor] = {}
        self._mask_sparsity = 0.0

    @property
    def key(self) -> str:
        """See :attr:`TrainingConstraint.key`."""
        return f"{self.schedule} {self.pattern} {sorted(self._weights)}"

    @torch.no_grad()
    def apply(self, step: int) -> None:
        """See :meth:`TrainingConstraint.apply`."""
        wanted = self.schedule(step)
        for name, weight in self._weights.items():
            if wanted != self._mask_sparsity:
                self._masks[name] = self.pattern.mask(weight, wanted)
            if name in self._masks:
                # Not a product, which would keep an infinity or NaN.
                weight.masked_fill_(~self._masks[name].to(weight.device), 0.0)
        self._mask_sparsity = wanted

    def is_final(self, step: int) -> bool:
        """See :meth:`TrainingConstraint.is_final`."""
        return step >= self.schedule.final_step

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`TrainingConstraint.state_dict`."""
        return {"drawn": self._mask_sparsity, "masks": {name: mask.cpu() for name, mask in self._masks.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`TrainingConstraint.load_state_dict`."""
        self._mask_sparsity = state["drawn"]
        self._masks = dict(state["masks"])

    def sparsity(self) -> float:
        """Computes the share of zeros among the weights under constraint; 0 if there are none."""
        total = sum(weight.numel() for weight in self._weights.values())
        zeros = sum(weight.numel() - int(weight.count_nonzero()) for weight in self._weights.values())
        return zeros / total if total else 0.0


def _weight_of(part: nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Tensor:
    """Returns a layer's trained weight, also if the layer computes with a parametrisation of it."""
    parametrisation = part.get_submodule("parametrizations.weight") if is_parametrized(part, "weight") else None
    weight: Tensor = getattr(parametrisation, "original", part.weight)
    return weight
