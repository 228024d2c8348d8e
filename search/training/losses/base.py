"""Base class of losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput
from search.bounds import LARGEST
from search.training.outputs import LossInputs, ModuleOutputs


class LossOptions(BaseModel):
    """Options of a loss: its section in a recipe's ``losses``."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    weight: float = Field(1.0, gt=0, le=LARGEST, allow_inf_nan=False)
    """Factor in the sum of losses."""


class Loss(nn.Module, ABC):
    """One term of a training's loss: maps a batch to its mean as a scalar, not yet weighted.

    Its only state is parameters that are trained along with the student. :meth:`prepare` is called once with the first
    batch, before the first :meth:`forward`; it creates such parameters.
    """

    Options: ClassVar[type[LossOptions]] = LossOptions
    of_teacher: ClassVar[bool] = False
    """Whether it compares with a teacher."""

    def __init__(self, options: Any) -> None:
        super().__init__()
        self.options = options

    @property
    def taps(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the submodules of the student and of the teacher whose outputs the loss reads."""
        return (), ()

    def prepare(self, batch: LossInputs) -> None:
        """Prepares for the first batch; raises :class:`InvalidInput` if the loss cannot be computed from it."""
        if self.of_teacher:
            teacher_of(batch)

    @abstractmethod
    def forward(self, batch: LossInputs) -> Tensor:
        """Computes the loss of a batch, a float32 scalar."""


def teacher_of(batch: LossInputs) -> ModuleOutputs:
    """Returns the teacher's outputs; raises :class:`InvalidInput` if there is no teacher."""
    if batch.teacher is None:
        raise InvalidInput(
            "losses: one of them compares with a teacher, but there is none", "give a teacher, or use only 'task'"
        )
    return batch.teacher


def labels_of(batch: LossInputs) -> Tensor:
    """Returns the labels; raises :class:`InvalidInput` if there are none."""
    if batch.labels is None:
        raise InvalidInput(
            "losses: one of them needs labels, but the task gives none",
            "give labels with the task, or use losses that need only a teacher, such as 'kl'",
        )
    return batch.labels


def check_same_shape(student: Tensor, teacher: Tensor, name: str) -> None:
    """Raises :class:`InvalidInput` unless the tensors, called ``name`` in the message, have the same shape."""
    if student.shape != teacher.shape:
        raise InvalidInput(
            f"losses: {name} of the student is {tuple(student.shape)}, of the teacher {tuple(teacher.shape)}",
            "compare outputs of the same shape",
        )
