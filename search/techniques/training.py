"""How long a candidate is trained, as a decision: short while a search explores, long for what it has chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from evaluators.devices.device import Device
from hwprofiles.errors import InvalidInput
from search.bounds import MOST_AT_ONCE, MOST_ITEMS
from search.space.candidate import Decision
from search.space.offer import Offer
from search.subject import Subject
from search.techniques.base import TechniqueOptions
from search.techniques.module import ModuleTechnique

if TYPE_CHECKING:
    from torch import nn

DECISION = "training"
USUAL = "1"

Length = Annotated[float, Field(gt=0, le=MOST_AT_ONCE)]


class TrainingOptions(TechniqueOptions):
    """The section ``training`` of a job's space."""

    lengths: tuple[Length, ...] = Field((5.0,), min_length=1, max_length=MOST_ITEMS)
    """Lengths of the training that a candidate may have apart from 1, as multiples of the recovery's steps."""


class TrainingTechnique(ModuleTechnique):
    """One decision for the whole model: how many times the steps of the job's recovery it is trained.

    As the last stage of a search it is the final training of N2N (Ashok et al., ICLR 2018): students are found by short
    trainings, and those of the front are trained again for longer, from the weights that they inherit.
    """

    Options = TrainingOptions
    options: TrainingOptions
    unchanged = USUAL

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        super().__init__(subject, options)
        if subject.recipe is None:
            raise InvalidInput(
                "space: the technique 'training' needs a training, but the job's recovery is null",
                "write: recovery: {epochs: 5}",
            )

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        """Returns one decision with the lengths."""
        lengths = dict.fromkeys((USUAL, *(f"{length:g}" for length in self.options.lengths)))
        return Offer((Decision(DECISION, tuple(lengths), "training"),))

    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        """Returns the module as it is."""
        return module

    def training_length(self, values: Mapping[str, str]) -> float:
        """See :meth:`ModuleTechnique.training_length`."""
        return float(values[DECISION])

    @classmethod
    def describe_value(cls, decision: Decision, value: str) -> str:
        """See :meth:`Technique.describe_value`."""
        return "trained as usual" if value == USUAL else f"trained {value} times as long"
