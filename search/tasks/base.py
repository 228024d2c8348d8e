"""What a task promises: a trained model with its data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from evaluators.measuring.quality import Scores
from evaluators.tensors import Array, Arrays
from hwprofiles.errors import InvalidInput

if TYPE_CHECKING:
    import torch

    from search.training.data import TrainingData

Split = Literal["calibration", "validation", "test"]
Predict = Callable[[Arrays], dict[str, Array]]
"""Maps named inputs, first axis samples, to named outputs; a torch module's or a runtime session's."""


class Task(ABC):
    """A trained model (the teacher) with its data.

    Made anew in each process that needs it, from the name and options in the job; used from one thread. Three splits:
    ``calibration`` (training batches), ``validation`` (the search sees this), ``test`` (only the receipt does).
    Everything is a function of the task's options; ``digest`` names all that the model and its data depend on, and
    ``data_digest`` the data alone, labels and what judges the outputs among them.

    A task gives ``score`` (figures a sample, which have intervals) or ``evaluate`` (finished metrics), or neither: how
    near the outputs are to the fp32 model (``cosine``, ``top1_agreement``) is measured for every task.

    A task whose model is a torch module may also give that module and what it is trained with (``module`` and
    ``training``, and ``trainable`` says so): techniques that train need them, all others do without.
    """

    digest: str
    shared_split: bool = False
    """Whether there were too few samples to split, so that all three splits are the same."""
    notes: tuple[str, ...] = ()
    """What its user should know of how the model was read."""
    trainable: bool = False
    """Whether it gives ``module`` and ``training``."""

    @property
    def data_digest(self) -> str:
        """Names the samples of all splits, their labels, and how outputs are judged; by default :attr:`digest`."""
        return self.digest

    @abstractmethod
    def export(self, path: Path, *, trained: bool = True, module: torch.nn.Module | None = None) -> None:
        """Writes the fp32 model as ONNX; trains it on first use. ``trained=False`` asks only for the structure.

        ``module`` is written in its place: a changed :meth:`module` with the same inputs and outputs.
        """

    @abstractmethod
    def inputs(self, split: Split) -> dict[str, Array]:
        """One array for each model input, first axis samples."""

    def score(self, outputs: Arrays, split: Split) -> Scores:
        """Figures a sample ``(samples,)`` for the split's outputs; by default none."""
        return {}

    def clusters(self, split: Split) -> NDArray[np.int64] | None:
        """The source that each sample was made from, ``(samples,)``; None where all are independent."""
        return None

    def evaluate(self, predict: Predict, split: Split) -> dict[str, float]:
        """Metrics of a predictor on a split; accuracies are fractions."""
        scores = self.score(predict(self.inputs(split)), split)
        return {name: float(values.mean()) for name, values in scores.items()}

    def metric_names(self) -> frozenset[str] | None:
        """The names of what ``score`` and ``evaluate`` give, known without training or running the model; None, the
        default of a task that gives any, where only an evaluation tells."""
        silent = type(self).score is Task.score and type(self).evaluate is Task.evaluate
        return frozenset() if silent else None

    def module(self, *, trained: bool = True) -> torch.nn.Module:
        """A fresh copy of the trained model as a torch module, on the processor and in evaluation mode; trains it on
        first use. Takes the task's inputs in their order. ``trained=False`` asks only for the structure. Raises
        :class:`InvalidInput` where there is none."""
        raise self._untrainable()

    def training(self) -> TrainingData:
        """What :meth:`module` and its smaller relatives are trained with; raises :class:`InvalidInput` where there is
        no such thing."""
        raise self._untrainable()

    def _untrainable(self) -> InvalidInput:
        return InvalidInput(
            f"task: {type(self).__name__} gives no torch module, which techniques that train need",
            "make the task a function that returns a search.tasks.TorchTask, or leave those techniques out of space",
        )


class BuiltInTask(Task):
    """A task that job files name by its registry name, made from validated ``Options``."""

    Options: ClassVar[type[BaseModel]]

    @classmethod
    @abstractmethod
    def open(cls, options: Any, folder: Path) -> Self:
        """The task with these ``Options``; paths in them are found from ``folder``."""
