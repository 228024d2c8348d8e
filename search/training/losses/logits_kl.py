"""Distillation of logits by their softened probabilities."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from search.training.losses.base import Loss, LossOptions, same_shape, teacher_of
from search.training.outputs import Seen


class LogitsKlOptions(LossOptions):
    """``temperature`` softens both distributions."""

    temperature: float = Field(4.0, gt=0, allow_inf_nan=False)


class LogitsKl(Loss):
    """``T² KL(softmax(teacher / T) || softmax(student / T))`` in nats, mean over all but the last axis.

    Hinton, Vinyals and Dean, *Distilling the Knowledge in a Neural Network* (arXiv:1503.02531, 2015); T² keeps the
    gradients' size whatever the temperature.
    """

    Options = LogitsKlOptions
    of_teacher = True

    def prepare(self, seen: Seen) -> None:
        """See :meth:`Loss.prepare`."""
        same_shape(seen.student.output, teacher_of(seen).output, "the output")

    def forward(self, seen: Seen) -> Tensor:
        """See :meth:`Loss.forward`."""
        temperature: float = self.options.temperature
        student = functional.log_softmax(seen.student.output.flatten(0, -2) / temperature, dim=-1)
        teacher = functional.log_softmax(teacher_of(seen).output.flatten(0, -2) / temperature, dim=-1)
        divergence: Tensor = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return divergence * temperature**2
