"""Network slimming's training: scales of batch normalisation that channels do not need go to zero."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from evaluators.processes.locks import one_at_a_time
from evaluators.processes.sandbox_child import report
from hwprofiles import digest_of
from search.folders import partial_path
from search.pruning.criteria.bn_scale import sparsity_term
from search.training.data import TrainingData
from search.training.epochs import steps_of
from search.training.recipe import Recipe
from search.training.recover import recover
from search.training.sparsifier import Unconstrained


class _ToTheEnd(Unconstrained):
    """Holds nothing, but only the last state counts as a result."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def settled(self, step: int) -> bool:
        """See :class:`Constraint`."""
        return step >= self._steps


def slimmed(module: nn.Module, data: TrainingData, *, weight: float, epochs: int, seed: int, folder: Path) -> nn.Module:
    """The module after ``epochs`` with the sum of absolute scales, times ``weight``, added to its loss (Liu et al.,
    ICCV 2017); trained once for all who ask, its weights kept in ``folder``.

    The last weights are kept, not those of the best figure: sparsity grows to the end. Raises as
    :func:`search.training.recover.recover`, and :class:`InvalidInput` for a module without such scales.
    """
    recipe = Recipe(epochs=epochs, seed=seed, patience=None, losses={"task": {}})
    path = folder / f"slimmed-{digest_of([data.digest, weight, recipe.model_dump(mode='json')])}.pt"
    with one_at_a_time("slimming"):
        if not path.exists():
            report("training for sparse scales")
            found = recover(
                module, None, data, recipe, progress=report, checkpoint=path.with_suffix(".checkpoint"),
                penalty=lambda student: weight * sparsity_term(student),
                constraint=_ToTheEnd(steps_of(data, recipe)),
            )  # fmt: skip
            partial = partial_path(path)
            torch.save(found.module.state_dict(), partial)
            partial.replace(path)
            path.with_suffix(".checkpoint").unlink(missing_ok=True)
    module.load_state_dict(torch.load(path, weights_only=True))
    return module.eval()
