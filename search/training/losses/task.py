"""The task's own loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from search.training.losses.base import Loss, labels_of
from search.training.outputs import LossInputs


class TaskLoss(Loss):
    """The task's own loss; if it has none, cross-entropy in nats of the labels ``(n, …)`` and the first output
    ``(n, …, classes)``."""

    def prepare(self, batch: LossInputs) -> None:
        """See :meth:`Loss.prepare`."""
        labels_of(batch)

    def forward(self, batch: LossInputs) -> Tensor:
        """See :meth:`Loss.forward`."""
        labels = labels_of(batch)
        if batch.task_loss is not None:
            return batch.task_loss(batch.student.raw, labels)
        return functional.cross_entropy(batch.student.output.flatten(0, -2), labels.flatten())
