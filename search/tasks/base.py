"""Base class of tasks: a trained model with its data."""

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
"""Maps named inputs, first axis samples, to named outputs, with a torch module or a runtime session."""


class Task(ABC):
    """A trained model (the teacher) with its data.

    Created in each process that needs it, from the name and options in the job; used from one thread. Everything is a
    function of the task's options. There are three splits: ``calibration`` (training batches), ``validation`` (used by
    the search) and ``test`` (used by the receipt alone).

    A task implements ``score`` (figures per sample, which get intervals), or ``evaluate`` (final metrics), or neither:
    the similarity to the fp32 outputs (``cosine``, ``top1_agreement``) is measured for every task.

    If its model is a torch module, a task may also implement ``module`` and ``training`` and set ``trainable``.
    Techniques that train need them; all others do not.
    """

    digest: str
    """Identifies everything that the model and its data depend on."""
    shared_split: bool = False
    """Whether there are too few samples to split, so that all three splits are the same."""
    notes: tuple[str, ...] = ()
    """Notes for the user about how the model was read."""
    trainable: bool = False
    """Whether the task implements ``module`` and ``training``."""

    @property
    def data_digest(self) -> str:
        """Identifies the samples of all splits, their labels, and how outputs are scored; by default
        :attr:`digest`."""
        return self.digest

    @abstractmethod
    def export(self, path: Path, *, trained: bool = True, module: torch.nn.Module | None = None) -> None:
        """Writes the fp32 model as ONNX; trains it on first use, which may take minutes, unless ``trained=False`` asks
        only for the structure.

        With ``module``, writes that instead: a changed :meth:`module` with the same inputs and outputs.
        """

    @abstractmethod
    def inputs(self, split: Split) -> dict[str, Array]:
        """Returns one array for each model input, first axis samples."""

    def score(self, outputs: Arrays, split: Split) -> Scores:
        """Computes figures per sample ``(samples,)`` from the outputs for a split; by default none."""
        return {}

    def clusters(self, split: Split) -> NDArray[np.int64] | None:
        """Returns the number of the source that each sample derives from, ``(samples,)``; None if all samples are
        independent."""
        return None

    def evaluate(self, predict: Predict, split: Split) -> dict[str, float]:
        """Computes the metrics of a predictor on a split; accuracies are fractions."""
        scores = self.score(predict(self.inputs(split)), split)
        return {name: float(values.mean()) for name, values in scores.items()}

    def metric_names(self) -> frozenset[str] | None:
        """Returns the names of the metrics of ``score`` and ``evaluate`` without running the model. None if only an
        evaluation shows them, the default for tasks with metrics."""
        has_metrics = type(self).score is not Task.score or type(self).evaluate is not Task.evaluate
        return None if has_metrics else frozenset()

    def module(self, *, trained: bool = True) -> torch.nn.Module:
        """Returns a fresh copy of the trained model as a torch module, on the CPU and in evaluation mode; trains it on
        first use, which may take minutes, unless ``trained=False`` asks only for the structure.

        The module takes the task's inputs in their order. Raises :class:`InvalidInput` if the task has no module.
        """
        raise self._untrainable()

    def training(self) -> TrainingData:
        """Returns the data to train :meth:`module` and changed copies of it; raises :class:`InvalidInput` if the task
        has none."""
        raise self._untrainable()

    def _untrainable(self) -> InvalidInput:
        return InvalidInput(
            f"task: {type(self).__name__} has no PyTorch model, which techniques that train need",
            "make the task a function that returns a paretune.TorchTask, or remove those techniques from space",
        )


class BuiltInTask(Task):
    """A task that job files name by its registry name, made from validated ``Options``."""

    Options: ClassVar[type[BaseModel]]

    @classmethod
    @abstractmethod
    def open(cls, options: Any, folder: Path) -> Self:
        """Opens the task with these ``Options``; paths in them are relative to ``folder``."""

    @classmethod
    def cached_files(cls, options: Any) -> list[Path]:
        """Lists the files of the cache folder that the task with these ``Options`` has made, such as trained weights:
        another machine would make them again, and perhaps others."""
        return []
