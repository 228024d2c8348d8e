"""Cross-entropy with class weights."""

from __future__ import annotations

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from hwprofiles.errors import InvalidInput
from search.bounds import LARGEST
from search.training.losses.base import Loss, LossOptions, labels_of
from search.training.outputs import LossInputs


class ClassWeightedOptions(LossOptions):
    """Options of :class:`ClassWeighted`."""

    classes: dict[int, float] = Field(min_length=1)
    """Maps class numbers to weights; classes that are left out have weight 1."""

    @field_validator("classes")
    @classmethod
    def _weights(cls, value: dict[int, float]) -> dict[int, float]:
        if any(number < 0 or not 0 < weight <= LARGEST for number, weight in value.items()):
            raise ValueError(f"class numbers must be 0 or more, weights above 0 and at most {LARGEST:g}")
        return value


class ClassWeighted(Loss):
    """Cross-entropy in nats, weighted by class: a weighted mean, so equal weights change nothing.

    Weights above 1 lower a class's false negatives at the price of other classes'; the aim of Entezari and Saukh,
    *Class-dependent Compression of Deep Neural Networks* (arXiv:1909.10364).
    """

    Options = ClassWeightedOptions

    def prepare(self, batch: LossInputs) -> None:
        """See :meth:`Loss.prepare`."""
        labels_of(batch)
        count = batch.student.output.shape[-1]
        unknown = [number for number in self.options.classes if number >= count]
        if unknown:
            raise InvalidInput(
                f"losses.class_weighted.classes: there is no class {unknown[0]}",
                f"the model has classes 0 to {count - 1}",
            )

    def forward(self, batch: LossInputs) -> Tensor:
        """See :meth:`Loss.forward`."""
        output = batch.student.output
        weights = torch.ones(output.shape[-1], device=output.device)
        for number, weight in self.options.classes.items():
            weights[number] = weight
        return functional.cross_entropy(output.flatten(0, -2), labels_of(batch).flatten(), weights)
