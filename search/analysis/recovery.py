"""Recovery by training after quantisation, and after pruning to equal size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from evaluators.processes.sandbox_child import report
from search.analysis.gaussian import compression, weight_share
from search.tasks.base import Task
from search.training.epochs import steps_of
from search.training.recipe import Recipe
from search.training.recover import RecoveryResult, recover
from search.training.schedules import Schedule
from search.training.sparsifier import Sparsifier

Json = dict[str, Any]

BITS = (8, 4, 3, 2)

_RANGES = torch.linspace(0.1, 1.0, 46)
"""Ranges to try, as shares of a channel's largest magnitude."""

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Rounded(nn.Module):
    """A weight as symmetric integers of ``bits`` bits; gradients pass straight through.

    Each output channel keeps its initial scale, that of least squared error. Straight-through estimator: Bengio et al.,
    arXiv:1308.3432, 2013.
    """

    scale: Tensor

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__()
        self.lowest, self.highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        rows = weight.detach().flatten(1)
        usual = rows.abs().amax(1).clamp(min=1e-30) / self.highest
        scales = [(usual * share)[:, None] for share in _RANGES]
        errors = torch.stack([(self._levels(rows, scale) - rows).square().sum(1) for scale in scales])
        best = usual * _RANGES[errors.argmin(0)]
        self.register_buffer("scale", best.view(-1, *[1] * (weight.ndim - 1)))

    def _levels(self, weight: Tensor, scale: Tensor) -> Tensor:
        return torch.clamp(torch.round(weight / scale), self.lowest, self.highest) * scale

    def forward(self, weight: Tensor) -> Tensor:
        """Returns the rounded weight."""
        return weight + (self._levels(weight, self.scale) - weight).detach()


def compare_recovery(task: Task, recipe: Recipe, bits: Sequence[int] = BITS) -> Json:
    """Trains quantised and pruned networks of each size, and returns the task's figure before and after; hours.

    Compresses the weights of all linear and convolution layers: quantised by channel, or pruned by magnitude in each
    layer, on the cubic schedule over the first two thirds of the training. Activations stay as they are.

    Raises as :func:`search.training.recover.recover`, and :class:`InvalidInput` for a task without a module.
    """
    rows, whole = [], 0.0
    steps = steps_of(task.training(), recipe)
    for size in bits:
        report(f"training again at {size} bits a weight")
        quantised = _train(_quantise(task.module(), size), task, recipe)
        sparsity = 1 - weight_share(size)
        report(f"training again with {weight_share(size):.1%} of the weights")
        student = task.module()
        at_once = Sparsifier(student, Schedule("one_shot", sparsity))
        cut = _train(student, task, recipe.model_copy(update={"steps": 1}), at_once)
        student = task.module()
        schedule = Schedule("gradual", sparsity, end=2 * steps // 3, every=max(1, steps // 50))
        pruned = _train(student, task, recipe, Sparsifier(student, schedule))
        rows.append(
            {
                "bits": size,
                "compression": compression(size),
                "quantised": {"before": quantised.before, "after": quantised.figure},
                "pruned": {"before": cut.before, "after": pruned.figure},
            }
        )
        whole = pruned.before  # the schedule begins with all weights
    return {"figure": whole, "points": rows}


def _quantise(module: nn.Module, bits: int) -> nn.Module:
    for part in list(module.modules()):
        if isinstance(part, _LAYERS):
            register_parametrization(part, "weight", Rounded(part.weight, bits))
    return module


def _train(module: nn.Module, task: Task, recipe: Recipe, constraint: Sparsifier | None = None) -> RecoveryResult:
    return recover(module, task.module(), task.training(), recipe, progress=report, constraint=constraint)
