"""Task of a torch module and arrays: the usual result of a user's own ``make_task``."""

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
from search.training.data import Figure, Samples, TaskLossFunction, TrainingData

if TYPE_CHECKING:
    import torch

Evaluate = Callable[[Predict, Split], dict[str, float]]
"""Computes a user's own metrics of a predictor on a split."""


class TorchTask(Task):
    """A trained module, its inputs for each split, and optionally labels or an ``evaluate`` function.

    ``inputs`` maps a split to named arrays in the order of the module's arguments, first axis samples; exported files
    have inputs of these names. ``outputs`` names the outputs; without it, the keys of a mapping or the fields of a
    named tuple that ``forward`` returns, else ``output``, ``output_1`` and so on. ``labels`` maps a split to class
    numbers ``(samples,)`` and adds ``accuracy`` and ``nll``; ``evaluate(predict, split)`` adds the
    user's own metrics. ``false_negatives`` lists classes whose ``fnr:CLASS`` is measured.

    Techniques that train use the calibration split, or the samples that ``epoch`` draws with a generator in each epoch.
    They minimise ``loss(outputs, labels)``, by default cross-entropy, and keep the weights with the largest
    ``figure(outputs, labels)``, by default accuracy. Without labels they learn from the trained module alone.

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
        outputs: Sequence[str] | None = None,
        epoch: Callable[[np.random.Generator], Samples] | None = None,
        loss: TaskLossFunction | None = None,
        figure: Figure | None = None,
    ) -> None:
        import torch

        _check(inputs, labels)
        arguments = _arguments(module)
        _check_order(inputs, arguments)
        self.notes = _note_other_names(list(inputs["calibration"]), arguments)
        self._module = module
        self._inputs = {split: dict(arrays) for split, arrays in inputs.items()}
        self._labels = labels
        self._evaluate = evaluate
        self._false_negatives = tuple(false_negatives)
        self._outputs = None if outputs is None else tuple(outputs)
        self._epoch, self._loss, self._figure = epoch, loss, figure
        self._data_digest = digest_of(
            [
                {split: arrays_digest(arrays) for split, arrays in self._inputs.items()},
                self._label_digests,
                _code_of(evaluate),
                list(self._false_negatives),
            ]
        )
        state = {name: value.detach().cpu() for name, value in (*module.named_parameters(), *module.named_buffers())}
        # NumPy has no bfloat16; float32 represents all of its values.
        weights = {name: value.float() if value.dtype is torch.bfloat16 else value for name, value in state.items()}
        self.digest = digest_of(
            [
                str(module),
                _code(module),
                _settings(module),
                arrays_digest({name: value.numpy() for name, value in weights.items()}),
                self._data_digest,
                *([] if self._outputs is None else [list(self._outputs)]),
            ]
        )

    @property
    def data_digest(self) -> str:
        """See :attr:`Task.data_digest`; ``evaluate`` is identified by the file that it is written in."""
        return self._data_digest

    trainable = True

    def export(self, path: Path, *, trained: bool = True, module: torch.nn.Module | None = None) -> None:
        """See :meth:`Task.export`."""
        sample = {name: values[:1] for name, values in self._inputs["calibration"].items()}
        export_module(self._module if module is None else module, sample, path, outputs=self._outputs)

    def inputs(self, split: Split) -> dict[str, Array]:
        """See :meth:`Task.inputs`."""
        return self._inputs[split]

    def score(self, outputs: Arrays, split: Split) -> Scores:
        """Computes ``accuracy``, ``nll`` and the requested ``fnr:CLASS`` of the first output, if there are labels."""
        if self._labels is None:
            return {}
        logits, labels = next(iter(outputs.values())), np.asarray(self._labels[split])
        return classification(logits, labels) | false_negatives(logits, labels, self._false_negatives)

    def evaluate(self, predict: Predict, split: Split) -> dict[str, float]:
        """See :meth:`Task.evaluate`; adds the metrics of the user's own function."""
        metrics = super().evaluate(predict, split) if self._labels is not None else {}
        return metrics | (self._evaluate(predict, split) if self._evaluate else {})

    def metric_names(self) -> frozenset[str] | None:
        """See :meth:`Task.metric_names`; None if the user's own function adds metrics."""
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
        samples = self._samples("calibration")
        return TrainingData(
            # Functions for training are not part of the task's own digest, since only some jobs depend on them.
            digest=digest_of(
                [self.digest, [_code_of(f) for f in (self._epoch, self._loss, self._figure)], self._label_digests]
            ),
            epoch=self._epoch or (lambda rng: samples),
            validation=self._samples("validation"),
            loss=self._loss,
            figure=self._figure,
        )

    def _samples(self, split: Split) -> Samples:
        labels = None if self._labels is None else np.asarray(self._labels[split])
        return Samples(tuple(self._inputs[split].values()), labels)

    @property
    def _label_digests(self) -> dict[str, str]:
        labels = self._labels or {}
        return {split: arrays_digest({"labels": np.asarray(values)}) for split, values in labels.items()}


def _code_of(function: Callable[..., object] | None) -> str | None:
    """Computes a digest of the file that a function is written in; None if there is no file."""
    with contextlib.suppress(TypeError, OSError):
        return None if function is None else digest_of_file(Path(inspect.getfile(function)))
    return None


def _check(inputs: Mapping[Split, Mapping[str, Array]], labels: Mapping[Split, Array] | None) -> None:
    """Raises :class:`InvalidInput` unless every split has inputs, and one label per sample if there are labels."""
    if not isinstance(inputs, Mapping) or not all(isinstance(arrays, Mapping) for arrays in inputs.values()):
        raise InvalidInput(
            "task: TorchTask's inputs must map each split to named arrays", 'write: {"calibration": {"x": array}, …}'
        )
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
                f"task: arrays of the split {split!r} differ in their number of samples: {shown}",
                "give one row per sample in each",
            )


def _arguments(module: torch.nn.Module) -> tuple[str, ...]:
    """Returns the names of the arguments that ``forward`` takes by position; none for modules of PyTorch's own."""
    if type(module).__module__.partition(".")[0] == "torch":
        return ()
    positional = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    with contextlib.suppress(TypeError, ValueError):
        parameters = inspect.signature(module.forward).parameters.values()
        return tuple(parameter.name for parameter in parameters if parameter.kind in positional)
    return ()


def _check_order(inputs: Mapping[Split, Mapping[str, Array]], arguments: Sequence[str]) -> None:
    """Raises :class:`InvalidInput` for arrays that are named like arguments of ``forward``, but in another place, and
    for splits with other arrays."""
    names = list(inputs["calibration"])
    for split in get_args(Split):
        if list(inputs[split]) != names:
            found = ", ".join(inputs[split])
            raise InvalidInput(
                f"task: the split {split!r} has the arrays {found}, but 'calibration' has {', '.join(names)}",
                "give every split the same arrays in the same order",
            )
    if any(name in arguments and arguments.index(name) != place for place, name in enumerate(names)):
        raise InvalidInput(
            f"task: the arrays are {', '.join(names)}, but forward takes {', '.join(arguments)}",
            "give the arrays in the order of forward's arguments, without a gap",
        )


def _note_other_names(names: Sequence[str], arguments: Sequence[str]) -> tuple[str, ...]:
    """Returns a note about each input that the exported model calls otherwise than ``forward`` does."""
    pairs = zip(names, arguments, strict=False)
    return tuple(
        f"the model's input is called {name!r}, like the task's array; forward calls it {argument!r}"
        for name, argument in pairs
        if name != argument
    )


def _settings(module: torch.nn.Module) -> dict[str, str]:
    """Collects the plain attributes of a module and its parts by name: scales, windows and the like, which are not in
    the weights."""
    settings = {}
    for place, part in module.named_modules():
        for name, value in vars(part).items():
            plain = None if name in _INNER or name.startswith("_") else _plain(value)
            if plain is not None:
                settings[f"{place}.{name}"] = plain
    return settings


_INNER = frozenset({"training"})
"""Attributes of PyTorch's own that do not affect the export."""


def _plain(value: object) -> str | None:
    """Converts a value to text if that is the same in every process; None otherwise."""
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
    """Lists the digests of the source files of the module and its parts, except PyTorch's own."""
    kinds = {type(part) for part in module.modules()}
    files = set()
    for kind in kinds:
        with contextlib.suppress(TypeError, OSError):
            if kind.__module__.partition(".")[0] != "torch":
                files.add(Path(inspect.getfile(kind)))
    return sorted(digest_of_file(file) for file in files if file.is_file())
