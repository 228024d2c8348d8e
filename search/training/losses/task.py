"""The task's own loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from search.training.losses.base import Loss, labels_of
from search.training.outputs import Seen


class TaskLoss(Loss):
    """What the task gives as its loss; without one, cross-entropy in nats of the labels ``(n, …)`` and the first
    output ``(n, …, classes)``."""

    def prepare(self, seen: Seen) -> None:
        """See :meth:`Loss.prepare`."""
        labels_of(seen)

    def forward(self, seen: Seen) -> Tensor:
        """See :meth:`Loss.forward`."""
        labels = labels_of(seen)
        if seen.task_loss is not None:
            return seen.task_loss(seen.student.raw, labels)
        return functional.cross_entropy(seen.student.output.flatten(0, -2), labels.flatten())
