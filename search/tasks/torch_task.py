"""A task made from a torch module and arrays: what a user's own ``make_task`` most often returns."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from evaluators.measuring.quality import Scores, classification, false_negatives, label_metrics
from evaluators.tensors import Array, Arrays
from evaluators.torch_export import export_module
from hwprofiles import digest_of, digest_of_file
from hwprofiles.errors import InvalidInput
from search.tasks.arrays import arrays_digest
from search.tasks.base import Predict, Split, Task
from search.training.data import Figure, Samples, TaskLoss, TrainingData

if TYPE_CHECKING:
    import torch

Evaluate = Callable[[Predict, Split], dict[str, float]]


class TorchTask(Task):
    """A trained module, its inputs for each split, and optionally labels or an ``evaluate`` function.

    ``inputs`` maps a split to named arrays in the order of the module's arguments, first axis samples; ``labels`` maps
    a split to class numbers ``(samples,)`` and adds ``accuracy`` and ``nll``; ``evaluate(predict, split)`` adds metrics
    of the user's own. ``false_negatives`` names classes whose ``fnr:CLASS`` is measured.

    Techniques that train use the calibration split, or the samples that ``epoch`` gives for a generator, anew in each
    epoch. ``loss(outputs, labels)`` is what they make small in the place of cross-entropy, ``figure(outputs, labels)``
    what they judge by in the place of accuracy, larger being better. Without labels they learn from the trained module
    alone.

    >>> TorchTask(net, {"calibration": {"x": a}, "validation": {"x": b}, "test": {"x": c}})  # doctest: +SKIP
    """

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Mapping[Split, Mapping[str, Array]],
        *,
        labels: Mapping[Split, Array] | None = None,
        evaluate: Evaluate | None = None,
        false_negatives: Sequence[int] = (),
        epoch: Callable[[np.random.Generator], Samples] | None = None,
        loss: TaskLoss | None = None,
        figure: Figure | None = None,
    ) -> None:
        import torch

        _check(inputs, labels)
        self._module = module
        self._inputs = {split: dict(arrays) for split, arrays in inputs.items()}
        self._labels = labels
        self._evaluate = evaluate
        self._false_negatives = tuple(false_negatives)
        self._epoch, self._loss, self._figure = epoch, loss, figure
        self._data_digest = digest_of(
            [
                {split: arrays_digest(arrays) for split, arrays in self._inputs.items()},
                self._labelled,
                _code_of(evaluate),
                list(self._false_negatives),
            ]
        )
        state = {name: value.detach().cpu() for name, value in (*module.named_parameters(), *module.named_buffers())}
        # NumPy has no bfloat16, and float32 holds all of its values.
        weights = {name: value.float() if value.dtype is torch.bfloat16 else value for name, value in state.items()}
        self.digest = digest_of(
            [
                str(module),
                _code(module),
                _settings(module),
                arrays_digest({name: value.numpy() for name, value in weights.items()}),
                self._data_digest,
            ]
        )

    @property
    def data_digest(self) -> str:
        """See :attr:`Task.data_digest`; ``evaluate`` is named by the file that it is written in."""
        return self._data_digest

    trainable = True

    def export(self, path: Path, *, trained: bool = True, module: torch.nn.Module | None = None) -> None:
        """See :meth:`Task.export`."""
        sample = {name: values[:1] for name, values in self._inputs["calibration"].items()}
        export_module(self._module if module is None else module, sample, path)

    def inputs(self, split: Split) -> dict[str, Array]:
        """See :meth:`Task.inputs`."""
        return self._inputs[split]

    def score(self, outputs: Arrays, split: Split) -> Scores:
        """``accuracy``, ``nll`` and the ``fnr:CLASS`` asked for of the first output, where there are labels."""
        if self._labels is None:
            return {}
        logits, labels = next(iter(outputs.values())), np.asarray(self._labels[split])
        return classification(logits, labels) | false_negatives(logits, labels, self._false_negatives)

    def evaluate(self, predict: Predict, split: Split) -> dict[str, float]:
        """See :meth:`Task.evaluate`; the user's own function adds to it."""
        metrics = super().evaluate(predict, split) if self._labels is not None else {}
        return metrics | (self._evaluate(predict, split) if self._evaluate else {})

    def metric_names(self) -> frozenset[str] | None:
        """See :meth:`Task.metric_names`; what a function of the user's own adds, only an evaluation tells."""
        if self._evaluate is not None or type(self).evaluate is not TorchTask.evaluate:
            return None
        if type(self).score is not TorchTask.score:
            return None
        return frozenset() if self._labels is None else label_metrics(self._false_negatives)

    def module(self, *, trained: bool = True) -> torch.nn.Module:
        """See :meth:`Task.module`."""
        return copy.deepcopy(self._module).cpu().eval()

    def training(self) -> TrainingData:
        """See :meth:`Task.training`."""
        given = self._samples("calibration")
        return TrainingData(
            # What trains is no part of the model's and data's own digest: only some jobs depend on it.
            digest=digest_of(
                [self.digest, [_code_of(f) for f in (self._epoch, self._loss, self._figure)], self._labelled]
            ),
            epoch=self._epoch or (lambda rng: given),
            validation=self._samples("validation"),
            loss=self._loss,
            figure=self._figure,
        )

    def _samples(self, split: Split) -> Samples:
        labels = None if self._labels is None else np.asarray(self._labels[split])
        return Samples(tuple(self._inputs[split].values()), labels)

    @property
    def _labelled(self) -> dict[str, str]:
        given = self._labels or {}
        return {split: arrays_digest({"labels": np.asarray(values)}) for split, values in given.items()}


def _code_of(function: Callable[..., object] | None) -> str | None:
    """A digest of the file that a function is written in; None where it cannot be found."""
    with contextlib.suppress(TypeError, OSError):
        return None if function is None else digest_of_file(Path(inspect.getfile(function)))
    return None


def _check(inputs: Mapping[Split, Mapping[str, Array]], labels: Mapping[Split, Array] | None) -> None:
    """Raises :class:`InvalidInput` unless every split has its inputs, and where there are labels one a sample."""
    for split in get_args(Split):
        if not inputs.get(split):
            raise InvalidInput(
                f"task: TorchTask has no inputs for the split {split!r}", f"give all of {', '.join(get_args(Split))}"
            )
        counts = {name: len(values) for name, values in inputs[split].items()}
        if labels is not None:
            counts["labels"] = len(labels.get(split, ()))
        if len(set(counts.values())) > 1:
            shown = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise InvalidInput(
                f"task: the split {split!r} differs in its number of samples: {shown}", "give one row a sample in each"
            )


def _settings(module: torch.nn.Module) -> dict[str, str]:
    """The plain attributes of a module and its parts, by name: scales, windows and the like, which are in no weight."""
    found = {}
    for place, part in module.named_modules():
        for name, value in vars(part).items():
            plain = None if name in _INNER or name.startswith("_") else _plain(value)
            if plain is not None:
                found[f"{place}.{name}"] = plain
    return found


_INNER = frozenset({"training"})
"""What PyTorch keeps in a module besides its settings and is no part of what is exported."""


def _plain(value: object) -> str | None:
    """A value that is the same in every process, as text; None for anything else."""
    if isinstance(value, np.ndarray):
        return arrays_digest({"": value})
    if isinstance(value, list | tuple):
        parts = [_plain(part) for part in value]
        return None if None in parts else f"{type(value).__name__}{parts}"
    if isinstance(value, dict):
        parts = [_plain(part) for item in value.items() for part in item]
        return None if None in parts else f"dict{parts}"
    return repr(value) if isinstance(value, bool | int | float | complex | str | bytes | None) else None


def _code(module: torch.nn.Module) -> list[str]:
    """Digests of the files that say what the module and its parts compute; PyTorch's own are left out."""
    kinds = {type(part) for part in module.modules()}
    files = set()
    for kind in kinds:
        with contextlib.suppress(TypeError, OSError):
            if kind.__module__.partition(".")[0] != "torch":
                files.add(Path(inspect.getfile(kind)))
    return sorted(digest_of_file(file) for file in files if file.is_file())
