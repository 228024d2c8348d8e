"""Weights that are held at zero while a module trains."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.training.masks import Pattern, Unstructured
from search.training.schedules import Schedule

_SPARSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Constraint(Protocol):
    """What a module must keep to while it trains, such as being sparse.

    ``key`` names it for checkpoints. Training calls :meth:`hold` before the first step and after each one.
    """

    @property
    def key(self) -> str:
        """Equal keys, equal constraints."""

    def hold(self, step: int) -> None:
        """Puts the module back to what it must keep to after ``step`` updates."""

    def settled(self, step: int) -> bool:
        """Whether it will not change from then on: only then a state counts as a result."""

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs to go on, as tensors and plain data."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""


class Unconstrained:
    """A constraint that holds nothing."""

    key = "nothing"

    def hold(self, step: int) -> None:
        """See :meth:`Constraint.hold`."""

    def settled(self, step: int) -> bool:
        """See :meth:`Constraint.settled`."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Constraint.state_dict`."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`Constraint.load_state_dict`."""


class Sparsifier:
    """Holds the smallest weights of linear and convolution layers at exactly zero, as many as a schedule says.

    Every layer has the schedule's sparsity. Masks are drawn anew from the magnitudes when the sparsity changes, and
    what was zero stays zero. ``layers`` restricts it to some parts of the module, by name; those whose shape does not
    fit the pattern stay dense (``dense``).

    Raises :class:`InvalidInput` for a name that is no such layer.
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
        known = {name: part for name, part in module.named_modules() if isinstance(part, _SPARSE)}
        for name in layers or ():
            if name not in known:
                raise InvalidInput(f"sparsity: there is no layer {name!r}", nearest(name, list(known)))
        wanted = {name: _stored(part) for name, part in known.items() if layers is None or name in layers}
        self._weights = {name: weight for name, weight in wanted.items() if self.pattern.fits(weight)}
        self.dense = tuple(name for name in wanted if name not in self._weights)
        """Layers that were wanted but cannot have the pattern."""
        self._masks: dict[str, Tensor] = {}
        self._drawn = 0.0

    @property
    def key(self) -> str:
        """See :class:`Constraint`."""
        return f"{self.schedule} {self.pattern} {sorted(self._weights)}"

    @torch.no_grad()
    def hold(self, step: int) -> None:
        """See :meth:`Constraint.hold`."""
        wanted = self.schedule(step)
        for name, weight in self._weights.items():
            if wanted != self._drawn:
                self._masks[name] = self.pattern.mask(weight, wanted)
            if name in self._masks:
                # Not a product: what a step blew up to infinity or NaN would stay.
                weight.masked_fill_(~self._masks[name].to(weight.device), 0.0)
        self._drawn = wanted

    def settled(self, step: int) -> bool:
        """See :meth:`Constraint.settled`."""
        return step >= self.schedule.settled_from

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Constraint.state_dict`."""
        return {"drawn": self._drawn, "masks": {name: mask.cpu() for name, mask in self._masks.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`Constraint.load_state_dict`."""
        self._drawn = state["drawn"]
        self._masks = dict(state["masks"])

    def sparsity(self) -> float:
        """The share of zeros among the weights that it holds; 0 where it holds none."""
        total = sum(weight.numel() for weight in self._weights.values())
        zeros = sum(weight.numel() - int(weight.count_nonzero()) for weight in self._weights.values())
        return zeros / total if total else 0.0


def _stored(part: nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Tensor:
    """A layer's weight itself, also where it computes with something that is made of it."""
    made_of = part.get_submodule("parametrizations.weight") if is_parametrized(part, "weight") else None
    stored: Tensor = getattr(made_of, "original", part.weight)
    return stored


class _Together:
    """Several constraints, held in their order."""

    def __init__(self, parts: Sequence[Constraint]) -> None:
        self._parts = parts

    @property
    def key(self) -> str:
        """See :class:`Constraint`."""
        return " and ".join(part.key for part in self._parts)

    def hold(self, step: int) -> None:
        """See :meth:`Constraint.hold`."""
        for part in self._parts:
            part.hold(step)

    def settled(self, step: int) -> bool:
        """See :meth:`Constraint.settled`."""
        return all(part.settled(step) for part in self._parts)

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Constraint.state_dict`."""
        return {str(number): part.state_dict() for number, part in enumerate(self._parts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`Constraint.load_state_dict`."""
        for number, part in enumerate(self._parts):
            part.load_state_dict(state[str(number)])


def together(parts: Sequence[Constraint]) -> Constraint | None:
    """One constraint that holds all of ``parts``; None where there are none."""
    return parts[0] if len(parts) == 1 else _Together(parts) if parts else None
