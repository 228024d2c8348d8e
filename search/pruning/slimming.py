"""Training of network slimming: drives unneeded scales of batch normalisation to zero."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from evaluators.processes.locks import one_at_a_time
from evaluators.processes.sandbox_child import report
from hwprofiles import digest_of
from search.folders import partial_path
from search.pruning.criteria.bn_scale import sparsity_term
from search.training.constraint import NoConstraint
from search.training.data import TrainingData
from search.training.epochs import steps_of
from search.training.recipe import Recipe
from search.training.recover import recover


class _LastStateOnly(NoConstraint):
    """Restricts nothing, but only the last state counts as a result."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def is_final(self, step: int) -> bool:
        """See :meth:`TrainingConstraint.is_final`."""
        return step >= self._steps


def train_slim(
    module: nn.Module, data: TrainingData, *, weight: float, epochs: int, seed: int, folder: Path
) -> nn.Module:
    """Trains the module so that channels which matter little get small scales (minutes); cached in ``folder``.

    Network slimming (Liu et al., ICCV 2017): ``weight`` times the sum of absolute scales is added to the loss.
    Keeps the last weights, not those of the best figure, since sparsity grows to the end. Raises as
    :func:`search.training.recover.recover`, and :class:`InvalidInput` for a module without such scales.
    """
    recipe = Recipe(epochs=epochs, seed=seed, patience=None, losses={"task": {}})
    path = folder / f"slimmed-{digest_of([data.digest, weight, recipe.model_dump(mode='json')])}.pt"
    with one_at_a_time("slimming"):
        if not path.exists():
            report("training for sparse scales")
            result = recover(
                module, None, data, recipe, progress=report, checkpoint=path.with_suffix(".checkpoint"),
                penalty=lambda student: weight * sparsity_term(student),
                constraint=_LastStateOnly(steps_of(data, recipe)),
            )  # fmt: skip
            partial = partial_path(path)
            torch.save(result.module.state_dict(), partial)
            partial.replace(path)
            path.with_suffix(".checkpoint").unlink(missing_ok=True)
    module.load_state_dict(torch.load(path, weights_only=True))
    return module.eval()
