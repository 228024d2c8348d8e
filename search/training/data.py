"""Training data of a task: samples, a loss and a validation figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.tensors import Array
from hwprofiles.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

TaskLossFunction = Callable[[Any, "Tensor"], "Tensor"]
"""Maps the module's raw outputs for a batch and the labels to the batch's mean loss, a scalar."""

Figure = Callable[[Array, Array], float]
"""Maps the module's first output for all samples and their labels to one figure; larger is better."""


@dataclass(frozen=True)
class Samples:
    """Inputs and labels of some samples; the first axis of each array is the sample.

    Raises :class:`InvalidInput` if the arrays differ in length or are empty.
    """

    inputs: tuple[Array, ...]
    """In the order of the module's arguments."""
    labels: Array | None = None
    """One label per sample."""

    def __post_init__(self) -> None:
        counts = {len(values) for values in (*self.inputs, *(() if self.labels is None else (self.labels,)))}
        if len(counts) != 1 or 0 in counts:
            raise InvalidInput(
                f"training samples: the arrays have {sorted(counts)} rows",
                "give one row per sample in each, at least one",
            )

    def __len__(self) -> int:
        return len(self.inputs[0])


@dataclass(frozen=True)
class TrainingData:
    """A task's data for training, a function of the task's options."""

    digest: str
    """Identifies the data."""
    epoch: Callable[[np.random.Generator], Samples]
    """Draws an epoch's samples from the calibration split: always the same number, augmented by the generator if the
    task augments."""
    validation: Samples
    """Samples for the validation figure and early stopping."""
    loss: TaskLossFunction | None = None
    """None: cross-entropy of the labels."""
    figure: Figure | None = None
    """None: accuracy, or without labels the mean cosine to the teacher's first output."""
