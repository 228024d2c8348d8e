"""Techniques that change the torch module that a model is exported from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hwprofiles.errors import InvalidInput
from search.subject import Draft, Subject
from search.tasks.base import Task
from search.techniques.base import Stage, Technique, TechniqueOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search.training.constraint import TrainingConstraint


class ModuleTechnique(Technique):
    """A technique that changes the torch module before its export, and needs training afterwards.

    All module techniques of a job work together, once for each combination of their values
    (:class:`search.trials.module_variants.ModuleVariants`): in ``rounds`` the module is changed, then trained by the
    job's recovery. The result is exported, and all other techniques start from that graph.

    Imports torch only to change a module. Raises :class:`InvalidInput` for a task without a torch module.
    """

    by_default: ClassVar[bool] = False
    stage: ClassVar[Stage] = Stage.MODULE
    unchanged: ClassVar[str]
    """The value of its decisions that changes nothing, the first choice of each."""
    rounds: int = 1

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        super().__init__(subject, options)
        if subject.task is None or not subject.task.trainable:
            kind = type(subject.task).__name__
            raise InvalidInput(
                f"space: {type(self).__name__} needs a PyTorch model, but the task {kind} has none",
                "make the task a function that returns a paretune.TorchTask, or leave the technique out",
            )
        self.task: Task = subject.task

    @abstractmethod
    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        """Changes a module by the share ``way`` (0 < ``way`` <= 1) towards these values, and returns it.

        ``module`` may be modified. It is the task's own, or the result of the last round after its training.
        """

    def effective(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """Returns these values with the first choice in place of those that have no effect beside the others.

        Values that are equal then are the same module, which is trained once. By default the values as they are.
        """
        return values

    def constraint(self, module: nn.Module, values: Mapping[str, str], steps: int) -> TrainingConstraint | None:
        """Returns a constraint on the module during the ``steps`` updates of its last round, or None."""
        return None

    def training_length(self, values: Mapping[str, str]) -> float:
        """Returns by what the steps of the candidate's training are multiplied; 1 by default."""
        return 1.0

    def finish(self, module: nn.Module, values: Mapping[str, str]) -> dict[str, Any]:
        """Removes from a trained module what is not part of the model, and returns JSON-able notes.

        :meth:`apply` finds the notes in the draft under the technique's name.
        """
        return {}

    def module_to_export(self, module: nn.Module, values: Mapping[str, str]) -> nn.Module:
        """Returns the part of a finished module that is exported; by default all of it."""
        return module

    def depends(self) -> list[Any]:
        """JSON-able data that a training depends on, apart from the options and the values; empty by default."""
        return []

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """Returns the draft as it is: it was exported from the changed module."""
        return draft

    def module(self) -> nn.Module:
        """Returns a fresh copy of the task's own module; untrained in a dry run, which needs only its structure."""
        return self.task.module(trained=not self.subject.profile.is_dry_run)

    def example(self, samples: int) -> tuple[Tensor, ...]:
        """See :func:`first_samples`."""
        return first_samples(self.task, samples)


def first_samples(task: Task, count: int) -> tuple[Tensor, ...]:
    """Returns the first calibration samples of a task, in the order of the module's arguments."""
    import torch

    return tuple(torch.from_numpy(values[:count].copy()) for values in task.inputs("calibration").values())
