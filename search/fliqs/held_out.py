"""Quality of a module on held-out samples: the reward of a search for number formats."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from evaluators.processes.locks import working
from search.training.data import TrainingData
from search.training.normalisation import batch_statistics
from search.training.outputs import first_tensor, to_tensors
from search.training.recipe import Recipe
from search.training.recover import uses_bfloat16


class HeldOutQuality:
    """Quality of a ``module`` on half a batch of validation samples, drawn anew each step.

    With class labels: the mean probability of the right class, a smooth accuracy. With the task's own loss: its
    negative. Without labels: the mean cosine to the outputs of the ``teacher``. Layers normalise by batch statistics,
    since running statistics fit no single format.
    """

    def __init__(self, module: nn.Module, data: TrainingData, recipe: Recipe, teacher: Callable[[], nn.Module]) -> None:
        self._module, self._data, self._recipe, self._teacher = module, data, recipe, teacher

    @torch.no_grad()
    def __call__(self, step: int) -> float:
        """Computes the quality after ``step`` steps."""
        samples = self._data.validation
        rng = np.random.default_rng([self._recipe.seed, 1, step])
        rows = rng.choice(len(samples), min(-(-self._recipe.batch // 2), len(samples)), replace=False)
        place = next(self._module.parameters()).device
        with (
            working(),
            batch_statistics(self._module),
            torch.autocast(place.type, torch.bfloat16, enabled=uses_bfloat16(self._recipe, place)),
        ):
            raw = self._module(*to_tensors((values[rows] for values in samples.inputs), place))
            output = first_tensor(raw)
        if samples.labels is None:
            wanted = self._teacher_outputs[rows].to(place)
            return float(nn.functional.cosine_similarity(output.flatten(1), wanted.flatten(1)).mean())
        labels = torch.as_tensor(samples.labels[rows], device=place)
        labels = labels if labels.is_floating_point() else labels.long()
        if self._data.loss is not None:
            return -float(self._data.loss(raw, labels))
        return float(output.softmax(-1).gather(-1, labels.long()[..., None]).mean())

    @cached_property
    def _teacher_outputs(self) -> Tensor:
        """The teacher's first outputs for all validation samples."""
        teacher = self._teacher().eval()
        place = next(teacher.parameters()).device
        parts = []
        for start in range(0, len(self._data.validation), 256):
            inputs = (values[start : start + 256] for values in self._data.validation.inputs)
            with working():
                parts.append(first_tensor(teacher(*to_tensors(inputs, place))).cpu())
        return torch.cat(parts)
