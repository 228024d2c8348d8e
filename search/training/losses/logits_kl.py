"""Distillation of logits: KL divergence of softened probabilities."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from search.bounds import LARGEST
from search.training.losses.base import Loss, LossOptions, check_same_shape, teacher_of
from search.training.outputs import LossInputs


class LogitsKlOptions(LossOptions):
    """Options of :class:`LogitsKl`."""

    temperature: float = Field(4.0, gt=0, le=LARGEST, allow_inf_nan=False)
    """Softens both distributions."""


class LogitsKl(Loss):
    """``T² KL(softmax(teacher / T) || softmax(student / T))`` in nats, mean over all but the last axis.

    Hinton, Vinyals and Dean, *Distilling the Knowledge in a Neural Network* (arXiv:1503.02531, 2015); T² keeps the
    gradients' size independent of the temperature.
    """

    Options = LogitsKlOptions
    of_teacher = True

    def prepare(self, batch: LossInputs) -> None:
        """See :meth:`Loss.prepare`."""
        check_same_shape(batch.student.output, teacher_of(batch).output, "the output")

    def forward(self, batch: LossInputs) -> Tensor:
        """See :meth:`Loss.forward`."""
        temperature: float = self.options.temperature
        student = functional.log_softmax(batch.student.output.flatten(0, -2) / temperature, dim=-1)
        teacher = functional.log_softmax(teacher_of(batch).output.flatten(0, -2) / temperature, dim=-1)
        divergence: Tensor = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return divergence * temperature**2
