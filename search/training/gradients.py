"""Gradients of a module before its training."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from evaluators.processes.locks import working
from search.training.data import TrainingData
from search.training.epochs import Epochs
from search.training.losses import make_losses
from search.training.outputs import FeatureTaps, LossInputs, to_tensors
from search.training.recipe import Recipe
from search.training.threads import threads

_CPU = torch.device("cpu")


def batch_gradients(
    student: nn.Module, teacher: nn.Module, data: TrainingData, recipe: Recipe, batches: int
) -> list[dict[str, Tensor]]:
    """Computes, for each of a training's first batches, the gradients of the student's weights of two axes or more, by
    name: those that the recipe's losses would have if nothing was learnt from the batches before.

    Computes on the CPU, deterministically by the recipe's seed. The student's running statistics change. Raises
    :class:`InvalidInput` for losses that do not fit.
    """
    with torch.random.fork_rng(devices=[]), threads(recipe.threads), ExitStack() as stack:
        torch.manual_seed(recipe.seed)
        losses = make_losses(recipe.losses)
        taps = [{name for loss in losses.values() for name in loss.taps[side]} for side in (0, 1)]
        run_student = stack.enter_context(FeatureTaps(student.eval(), sorted(taps[0]), "student"))
        run_teacher = stack.enter_context(FeatureTaps(teacher.eval(), sorted(taps[1]), "teacher"))
        epochs = Epochs(data, recipe.batch, recipe.seed)

        def forward(step: int) -> LossInputs:
            samples = epochs.batch(step)
            inputs = to_tensors(samples.inputs, _CPU)
            labels = None if samples.labels is None else torch.tensor(samples.labels)
            if labels is not None and not labels.is_floating_point():
                labels = labels.long()
            with torch.no_grad():
                answers = run_teacher(inputs)
            return LossInputs(run_student(inputs), answers, labels, data.loss)

        with torch.no_grad():
            first = forward(0)
            for loss in losses.values():
                loss.prepare(first)
        student.train()
        weights = {name: w for name, w in student.named_parameters() if w.requires_grad and w.ndim > 1}
        gradients = []
        for step in range(batches):
            with working():
                batch = forward(step)
                total = torch.stack([loss.options.weight * loss(batch).reshape(()) for loss in losses.values()]).sum()
                parts = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
            pairs = zip(weights, parts, strict=True)
            gradients.append({name: part.contiguous().flatten() for name, part in pairs if part is not None})
        return gradients
