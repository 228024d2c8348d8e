"""How good a module is on samples that it is not trained on: what number formats are chosen by."""

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
from search.training.recover import mixes


class HeldOut:
    """The quality of a ``module`` on half a batch of the validation samples, another one each step.

    With class labels it is the mean probability of the right class: accuracy without its steps. With the task's own
    loss it is the negative of that; without labels the mean cosine to what the ``teacher`` answers. Layers normalise by
    the batch's statistics, since running ones belong to no format.
    """

    def __init__(self, module: nn.Module, data: TrainingData, recipe: Recipe, teacher: Callable[[], nn.Module]) -> None:
        self._module, self._data, self._recipe, self._teacher = module, data, recipe, teacher

    @torch.no_grad()
    def __call__(self, step: int) -> float:
        """The quality after so many steps."""
        samples = self._data.validation
        rng = np.random.default_rng([self._recipe.seed, 1, step])
        rows = rng.choice(len(samples), min(-(-self._recipe.batch // 2), len(samples)), replace=False)
        place = next(self._module.parameters()).device
        with (
            working(),
            batch_statistics(self._module),
            torch.autocast(place.type, torch.bfloat16, enabled=mixes(self._recipe, place)),
        ):
            raw = self._module(*to_tensors((values[rows] for values in samples.inputs), place))
            found = first_tensor(raw)
        if samples.labels is None:
            wanted = self._answers[rows].to(place)
            return float(nn.functional.cosine_similarity(found.flatten(1), wanted.flatten(1)).mean())
        labels = torch.as_tensor(samples.labels[rows], device=place)
        labels = labels if labels.is_floating_point() else labels.long()
        if self._data.loss is not None:
            return -float(self._data.loss(raw, labels))
        return float(found.softmax(-1).gather(-1, labels.long()[..., None]).mean())

    @cached_property
    def _answers(self) -> Tensor:
        """The teacher's to all validation samples."""
        teacher = self._teacher().eval()
        place = next(teacher.parameters()).device
        parts = []
        for start in range(0, len(self._data.validation), 256):
            inputs = (values[start : start + 256] for values in self._data.validation.inputs)
            with working():
                parts.append(first_tensor(teacher(*to_tensors(inputs, place))).cpu())
        return torch.cat(parts)
