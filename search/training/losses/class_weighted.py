"""Cross-entropy for users whose classes do not weigh the same."""

from __future__ import annotations

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from hwprofiles.errors import InvalidInput
from search.training.losses.base import Loss, LossOptions, labels_of
from search.training.outputs import Seen


class ClassWeightedOptions(LossOptions):
    """``classes`` maps class numbers to their weights; those that it does not name weigh 1."""

    classes: dict[int, float] = Field(min_length=1)

    @field_validator("classes")
    @classmethod
    def _weights(cls, value: dict[int, float]) -> dict[int, float]:
        if any(number < 0 or not 0 < weight < float("inf") for number, weight in value.items()):
            raise ValueError("class numbers start at 0, weights are above 0")
        return value


class ClassWeighted(Loss):
    """Cross-entropy in nats in which a sample counts as much as its class weighs: the weighted mean, so equal weights
    change nothing.

    Weights above 1 lower a class's false negatives at the price of others'; the aim of Entezari and Saukh,
    *Class-dependent Compression of Deep Neural Networks* (arXiv:1909.10364).
    """

    Options = ClassWeightedOptions

    def prepare(self, seen: Seen) -> None:
        """See :meth:`Loss.prepare`."""
        labels_of(seen)
        known = seen.student.output.shape[-1]
        strangers = [number for number in self.options.classes if number >= known]
        if strangers:
            raise InvalidInput(
                f"losses.class_weighted.classes: there is no class {strangers[0]}",
                f"the model tells classes 0 to {known - 1} apart",
            )

    def forward(self, seen: Seen) -> Tensor:
        """See :meth:`Loss.forward`."""
        output = seen.student.output
        weights = torch.ones(output.shape[-1], device=output.device)
        for number, weight in self.options.classes.items():
            weights[number] = weight
        return functional.cross_entropy(output.flatten(0, -2), labels_of(seen).flatten(), weights)
