"""Distillation of logits by their distance."""

from __future__ import annotations

from torch import Tensor

from search.training.losses.base import Loss, same_shape, teacher_of
from search.training.outputs import Seen


class LogitsL2(Loss):
    """Half the squared distance between the student's and the teacher's logits, summed over the last axis, mean over
    the others.

    Ba and Caruana, *Do Deep Nets Really Need to be Deep?* (NIPS 2014).
    """

    of_teacher = True

    def prepare(self, seen: Seen) -> None:
        """See :meth:`Loss.prepare`."""
        same_shape(seen.student.output, teacher_of(seen).output, "the output")

    def forward(self, seen: Seen) -> Tensor:
        """See :meth:`Loss.forward`."""
        return 0.5 * (seen.student.output - teacher_of(seen).output).square().sum(-1).mean()
