"""Distillation of logits: squared distance."""

from __future__ import annotations

from torch import Tensor

from search.training.losses.base import Loss, check_same_shape, teacher_of
from search.training.outputs import LossInputs


class LogitsL2(Loss):
    """Half the squared distance between the student's and the teacher's logits: sum over the last axis, mean over the
    other axes.

    Ba and Caruana, *Do Deep Nets Really Need to be Deep?* (NIPS 2014).
    """

    of_teacher = True

    def prepare(self, batch: LossInputs) -> None:
        """See :meth:`Loss.prepare`."""
        check_same_shape(batch.student.output, teacher_of(batch).output, "the output")

    def forward(self, batch: LossInputs) -> Tensor:
        """See :meth:`Loss.forward`."""
        return 0.5 * (batch.student.output - teacher_of(batch).output).square().sum(-1).mean()
