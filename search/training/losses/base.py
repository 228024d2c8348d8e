"""What a loss promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput
from search.training.outputs import Answers, Seen


class LossOptions(BaseModel):
    """Options of a loss, its section in a recipe's ``losses``; ``weight`` is its factor in the sum."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(1.0, gt=0, allow_inf_nan=False)


class Loss(nn.Module, ABC):
    """One term of what training makes small: a batch in, its mean as a scalar out, without its weight.

    Keeps nothing from batch to batch but parameters that it trains along with the student. :meth:`prepare` is called
    once, with the first batch and before the first :meth:`forward`; that is where such parameters are made.
    """

    Options: ClassVar[type[LossOptions]] = LossOptions
    of_teacher: ClassVar[bool] = False
    """Whether it compares with a teacher."""

    def __init__(self, options: Any) -> None:
        super().__init__()
        self.options = options

    @property
    def taps(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The parts of the student, and of the teacher, whose outputs it looks at."""
        return (), ()

    def prepare(self, seen: Seen) -> None:
        """Raises :class:`InvalidInput` where the loss cannot be had of what is seen."""
        if self.of_teacher:
            teacher_of(seen)

    @abstractmethod
    def forward(self, seen: Seen) -> Tensor:
        """The loss of a batch, a scalar in float32."""


def teacher_of(seen: Seen) -> Answers:
    """The teacher's answers; raises :class:`InvalidInput` where there is no teacher."""
    if seen.teacher is None:
        raise InvalidInput(
            "losses: one of them compares with a teacher, but there is none", "give a teacher, or the loss 'task' alone"
        )
    return seen.teacher


def labels_of(seen: Seen) -> Tensor:
    """The labels; raises :class:`InvalidInput` where there are none."""
    if seen.labels is None:
        raise InvalidInput(
            "losses: one of them needs labels, but the task gives none",
            "give labels with the task, or losses that need a teacher alone, such as 'kl'",
        )
    return seen.labels


def same_shape(student: Tensor, teacher: Tensor, what: str) -> None:
    """Raises :class:`InvalidInput` unless both have one shape."""
    if student.shape != teacher.shape:
        raise InvalidInput(
            f"losses: {what} of the student is {tuple(student.shape)}, of the teacher {tuple(teacher.shape)}",
            "compare what has the same shape in both",
        )
