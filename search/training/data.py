"""What a task gives to techniques that train: samples, a loss and a figure to judge by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.tensors import Array
from hwprofiles.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

TaskLoss = Callable[[Any, "Tensor"], "Tensor"]
"""What the module answered for a batch, as it answered it, and the labels; to the batch's mean loss, a scalar."""

Figure = Callable[[Array, Array], float]
"""The module's first output for all samples, and their labels; to one figure, larger is better."""


@dataclass(frozen=True)
class Samples:
    """``inputs`` in the order of the module's arguments, and one label a sample where there are any; the first axis of
    all counts samples. Raises :class:`InvalidInput` where these differ in number or there are none."""

    inputs: tuple[Array, ...]
    labels: Array | None = None

    def __post_init__(self) -> None:
        counts = {len(values) for values in (*self.inputs, *(() if self.labels is None else (self.labels,)))}
        if len(counts) != 1 or 0 in counts:
            raise InvalidInput(
                f"training samples: the arrays have {sorted(counts)} rows",
                "give one row a sample in each, at least one",
            )

    def __len__(self) -> int:
        return len(self.inputs[0])


@dataclass(frozen=True)
class TrainingData:
    """A task's data for training, a function of the task's options.

    ``epoch`` gives an epoch's samples, distorted anew from the generator where the task distorts, always equally many
    and from the calibration split. ``validation`` is what training is judged and stopped by. Without a ``loss`` it is
    the cross-entropy of the labels; without a ``figure`` it is accuracy, or without labels the mean cosine to the
    teacher's first output. ``digest`` names the data.
    """

    digest: str
    epoch: Callable[[np.random.Generator], Samples]
    validation: Samples
    loss: TaskLoss | None = None
    figure: Figure | None = None
