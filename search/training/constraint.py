"""Constraints that a module must satisfy while it trains, such as sparsity or number formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class TrainingConstraint(Protocol):
    """Restricts the weights or formats of a module during training.

    Training calls :meth:`apply` before the first step and after each step.
    """

    @property
    def key(self) -> str:
        """Identifies the constraint in checkpoints: equal keys, equal constraints."""

    def apply(self, step: int) -> None:
        """Enforces the constraint on the module after ``step`` updates."""

    def is_final(self, step: int) -> bool:
        """Returns whether the constraint no longer changes from ``step`` on. Only such states count as results."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as tensors and plain data."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the result of :meth:`state_dict`."""


class NoConstraint:
    """A constraint that restricts nothing."""

    key = "nothing"

    def apply(self, step: int) -> None:
        """See :meth:`TrainingConstraint.apply`."""

    def is_final(self, step: int) -> bool:
        """See :meth:`TrainingConstraint.is_final`."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`TrainingConstraint.state_dict`."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`TrainingConstraint.load_state_dict`."""


class _CombinedConstraint:
    """Applies several constraints in their order."""

    def __init__(self, parts: Sequence[TrainingConstraint]) -> None:
        self._parts = parts

    @property
    def key(self) -> str:
        """See :attr:`TrainingConstraint.key`."""
        return " and ".join(part.key for part in self._parts)

    def apply(self, step: int) -> None:
        """See :meth:`TrainingConstraint.apply`."""
        for part in self._parts:
            part.apply(step)

    def is_final(self, step: int) -> bool:
        """See :meth:`TrainingConstraint.is_final`."""
        return all(part.is_final(step) for part in self._parts)

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`TrainingConstraint.state_dict`."""
        return {str(number): part.state_dict() for number, part in enumerate(self._parts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`TrainingConstraint.load_state_dict`."""
        for number, part in enumerate(self._parts):
            part.load_state_dict(state[str(number)])


def combine_constraints(parts: Sequence[TrainingConstraint]) -> TrainingConstraint | None:
    """Combines ``parts`` into one constraint; None if there are no parts."""
    return parts[0] if len(parts) == 1 else _CombinedConstraint(parts) if parts else None
