"""Techniques that change the torch module that a model is exported from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hwprofiles.errors import InvalidInput
from search.space.layer_widths import LayerWidth
from search.subject import Draft, Subject
from search.tasks.base import Task
from search.techniques.base import Technique, TechniqueOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search.training.constraint import TrainingConstraint


class ModuleTechnique(Technique):
    """A technique whose changes are made before the model is exported, and trained afterwards.

    Those of a job are carried out together, once for each combination of their values
    (:class:`search.trials.module_variants.Structures`): in ``rounds`` the module is changed, then trained by the job's
    recovery; what comes out is exported, and all other techniques start from that graph.

    Decisions are named ``<technique>:…``, or as the technique is. Imports torch only when it is asked to change
    something. Raises :class:`InvalidInput` for a task that gives no torch module.
    """

    by_default: ClassVar[bool] = False
    unchanged: ClassVar[str]
    """The value of its decisions that changes nothing, the first choice of each."""
    rounds: int = 1

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        super().__init__(subject, options)
        if subject.task is None or not subject.task.trainable:
            kind = type(subject.task).__name__
            raise InvalidInput(
                f"space: {type(self).__name__} changes a torch module, and the task {kind} gives none",
                "make the task a function that returns a search.tasks.TorchTask, or leave the technique out",
            )
        self.task: Task = subject.task

    @abstractmethod
    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        """The module, ``way`` of the way (above 0, at 1 all of it) from the task's own to these values.

        ``module`` may be used up. It is the task's own, or what this returned in the round before, trained since.
        """

    def constraint(self, module: nn.Module, values: Mapping[str, str], steps: int) -> TrainingConstraint | None:
        """What the module is held to in the ``steps`` updates of its last round; None for nothing."""
        return None

    def finish(self, module: nn.Module, values: Mapping[str, str]) -> dict[str, Any]:
        """Takes from a trained module what is no part of the model, and says what the exported graph cannot: JSON-able
        notes, which :meth:`apply` finds in the draft under the technique's name."""
        return {}

    def exported(self, module: nn.Module, values: Mapping[str, str]) -> nn.Module:
        """What is exported of a finished module; by default all of it."""
        return module

    def depends(self) -> list[Any]:
        """What comes out of a training depends on beside the options and the values, JSON-able; nothing by default."""
        return []

    def scales(self) -> list[LayerWidth]:
        """How its decisions narrow layers, for modelled devices and predictions; nothing where they do not."""
        return []

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """Nothing: the draft was exported from the changed module."""
        return draft

    def module(self) -> nn.Module:
        """A fresh copy of the task's own module; in a dry run untrained, since nothing but its structure is asked
        for."""
        return self.task.module(trained=not self.subject.profile.is_dry_run)

    def example(self, samples: int) -> tuple[Tensor, ...]:
        """So many calibration samples, in the order of the module's arguments."""
        import torch

        return tuple(torch.from_numpy(values[:samples].copy()) for values in self.task.inputs("calibration").values())


def technique_of(decision: str) -> str:
    """The technique of a decision that is named after it, as those of modules are.

    >>> technique_of("pruning:blocks.0/conv1"), technique_of("sparsity")
    ('pruning', 'sparsity')
    """
    return decision.partition(":")[0]
