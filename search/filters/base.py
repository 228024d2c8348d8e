"""Base class of zero-cost filters, which judge a candidate's changed module before it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from search.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from search.training.data import TrainingData


class FilterOptions(BaseModel):
    """Options of a filter: its section in a job's ``filters``; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


@dataclass(frozen=True)
class Untrained:
    """A changed module before its training, with the weights that it inherits, and what it would be trained by."""

    module: nn.Module
    """May be modified."""
    teacher: Callable[[], nn.Module]
    """Returns the task's own module."""
    data: TrainingData
    recipe: Recipe
    size: float
    """The module's parameters as a share of the teacher's, above 0."""


@dataclass(frozen=True)
class Scored:
    """What a filter knows of a candidate when it decides."""

    size: float
    """See :attr:`Untrained.size`."""
    score: float
    """What :meth:`Filter.score` returned."""


class Filter(ABC):
    """Judges candidates in front of any strategy: one that it refuses is neither trained nor measured.

    A score depends on the module, the data and the recipe alone; it is computed once for each candidate, in a sandbox.
    Whether a candidate is refused depends on the options and on scores alone, so that a resumed job decides alike.
    """

    Options: ClassVar[type[FilterOptions]] = FilterOptions

    def __init__(self, options: Any) -> None:
        """Raises :class:`InvalidInput` for options with which it would do nothing."""
        self.options = options

    @abstractmethod
    def score(self, untrained: Untrained) -> float:
        """Computes the score of a module, a finite number, in seconds; larger is better.

        Leaves the global random state as it is. Raises :class:`BuildFailed` for a module that it cannot score.
        """

    @abstractmethod
    def refuse(self, own: Scored, earlier: Sequence[Scored]) -> str | None:
        """Returns in a few words why a candidate is refused; None if it is worth a training.

        ``earlier`` are all different modules of the blocks before the candidate's, whether refused or not, in the order
        of their trials: the same whatever the number of workers.
        """
