"""A task made from a torch module and arrays: what a user's own ``make_task`` most often returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluators.onnx_export import export_module
from evaluators.quality import Scores, classification
from evaluators.runtimes.base import Array, Arrays
from hwprofiles import digest_of
from search.tasks.arrays import arrays_digest
from search.tasks.base import Predict, Split, Task

if TYPE_CHECKING:
    import torch

Evaluate = Callable[[Predict, Split], dict[str, float]]


class TorchTask(Task):
    """A trained module, its inputs for each split, and optionally labels or an ``evaluate`` function.

    ``inputs`` maps a split to named arrays in the order of the module's arguments, first axis samples; ``labels`` maps
    a split to class numbers ``(samples,)`` and adds ``accuracy`` and ``nll``; ``evaluate(predict, split)`` adds metrics
    of the user's own.

    >>> TorchTask(net, {"calibration": {"x": a}, "validation": {"x": b}, "test": {"x": c}})  # doctest: +SKIP
    """

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Mapping[Split, Mapping[str, Array]],
        *,
        labels: Mapping[Split, Array] | None = None,
        evaluate: Evaluate | None = None,
    ) -> None:
        self._module = module
        self._inputs = {split: dict(arrays) for split, arrays in inputs.items()}
        self._labels = labels
        self._evaluate = evaluate
        weights = {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
        self.digest = digest_of(
            [
                str(module),
                arrays_digest(weights),
                {split: arrays_digest(arrays) for split, arrays in self._inputs.items()},
            ]
        )

    def export(self, path: Path, *, trained: bool = True) -> None:
        """See :meth:`Task.export`."""
        sample = {name: values[:1] for name, values in self._inputs["calibration"].items()}
        export_module(self._module, sample, path)

    def inputs(self, split: Split) -> dict[str, Array]:
        """See :meth:`Task.inputs`."""
        return self._inputs[split]

    def score(self, outputs: Arrays, split: Split) -> Scores:
        """``accuracy`` and ``nll`` of the first output, where there are labels."""
        if self._labels is None:
            return {}
        return classification(next(iter(outputs.values())), np.asarray(self._labels[split]))

    def evaluate(self, predict: Predict, split: Split) -> dict[str, float]:
        """See :meth:`Task.evaluate`; the user's own function adds to it."""
        metrics = super().evaluate(predict, split) if self._labels is not None else {}
        return metrics | (self._evaluate(predict, split) if self._evaluate else {})
