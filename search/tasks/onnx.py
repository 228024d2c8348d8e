"""Task of any ONNX model with an ``.npz`` file of sample inputs, or with random ones: needs no code."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from evaluators.graphs.model import input_specs, load_model, model_files, save_model
from evaluators.graphs.widening import narrow_types, widen_to_float32, widening_note
from evaluators.measuring.quality import Scores, classification, false_negatives, label_metrics
from evaluators.runtimes import OnnxRuntime
from evaluators.tensors import Array, Arrays, TensorSpec
from hwprofiles import digest_of, digest_of_file
from hwprofiles.errors import CandidateError, InvalidInput, first_line
from hwprofiles.suggestions import nearest_file
from search.bounds import MOST_CLASSES, Seed
from search.options import naming
from search.tasks.arrays import arrays_digest
from search.tasks.base import BuiltInTask, Split
from search.tasks.random_inputs import draw_random_inputs

if TYPE_CHECKING:
    import torch

ENOUGH_TO_SPLIT = 40
"""Smallest number of samples that is split."""

RANDOM = "random inputs"
"""Stands for the name of the data file if there is none."""

LABELS = "labels"
"""Name of the labels in the data file."""


class OnnxOptions(BaseModel):
    """Options of the task ``onnx``; paths are relative to the job file's folder."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: Path
    data: Path | None = None
    """None: random inputs."""
    seed: Seed = 0
    """Seed of the split, and of random inputs."""
    false_negatives: tuple[Annotated[int, Field(ge=0, le=MOST_CLASSES)], ...] = Field((), max_length=MOST_CLASSES)
    """Classes whose ``fnr:CLASS`` is measured."""


class OnnxTask(BuiltInTask):
    """A model file and its samples, split 50/25/25 by seed; fewer than 40 samples form one shared split. Without a data
    file the samples are random and have no labels.

    Raises :class:`InvalidInput` for files that are missing, corrupt or unsafe, or do not match each other.
    """

    Options = OnnxOptions

    def __init__(self, options: OnnxOptions, folder: Path = Path()) -> None:
        self._path = folder / options.model
        self._data_name = RANDOM if options.data is None else options.data.name
        self._seed = options.seed
        self._false_negatives = options.false_negatives
        with naming("task.options.model"):
            model = load_model(self._path)
        narrow = narrow_types(model)
        self.notes = (widening_note(narrow),) if narrow else ()
        model = widen_to_float32(model)
        specs = input_specs(model)
        if options.data is None:
            drawn = draw_random_inputs(model, self._seed)
            samples = dict(drawn.samples)
            self.notes = (*self.notes, drawn.note)
        else:
            with naming("task.options.data"):
                samples = _load_samples(folder / options.data)
        del model  # may be large; only its inputs are needed
        self._labels = samples.pop(LABELS, None) if LABELS not in {spec.name for spec in specs} else None
        with naming("task.options.data"):
            self._samples = {spec.name: _convert_samples(spec, samples, self._data_name) for spec in specs}
            _check_counts(self._samples, self._labels, self._data_name)
        self._has_open_sizes = any(None in spec.shape[1:] for spec in specs)
        self._splits: dict[Split, dict[str, Array]] = {}
        self.shared_split = self._count < ENOUGH_TO_SPLIT
        self._data_digest = digest_of(
            ["onnx", arrays_digest(self._samples), self._seed, list(self._false_negatives)]
            + ([] if self._labels is None else [arrays_digest({LABELS: self._labels})])
        )
        self.digest = digest_of([*(digest_of_file(file) for file in model_files(self._path)), self._data_digest])

    @classmethod
    def open(cls, options: OnnxOptions, folder: Path) -> OnnxTask:
        """See :meth:`BuiltInTask.open`."""
        return cls(options, folder)

    @property
    def data_digest(self) -> str:
        """See :attr:`Task.data_digest`."""
        return self._data_digest

    def export(self, path: Path, *, trained: bool = True, module: torch.nn.Module | None = None) -> None:
        """Writes the model as loaded: with external data inside, in float32, with an opset and IR that the runtime
        accepts."""
        save_model(widen_to_float32(load_model(self._path)), path)

    def check_inference(self) -> None:
        """Runs the model once if it leaves sizes open or inputs are random; raises :class:`InvalidInput` if it refuses
        the samples."""
        if not (self._has_open_sizes or self._data_name == RANDOM):
            return
        with tempfile.TemporaryDirectory(prefix="paretune-") as place:
            path = Path(place) / "model.onnx"
            self.export(path)
            session = OnnxRuntime().open(path)
            try:
                feed = session.batches({name: values[:2] for name, values in self._samples.items()}, 1)[0]
                outputs = session.run(feed)
            except CandidateError as error:
                raise self._refusal(f"refuses {self._data_name}", first_line(error, 160)) from None
            finally:
                session.close()
        for name, values in outputs.items():
            if np.issubdtype(values.dtype, np.inexact) and not np.isfinite(values).all():
                raise self._refusal(f"gives NaN or infinity for {self._data_name}", f"in its output {name!r}")

    def _refusal(self, what: str, why: str) -> InvalidInput:
        """Returns the error for samples that do not suit the model."""
        shapes = ", ".join(
            f"{name} {'×'.join(map(str, values.shape[1:])) or 'scalar'}" for name, values in self._samples.items()
        )
        return InvalidInput(
            f"{self._path.name} {what} of the shapes {shapes}: {why}",
            "give samples of your own: --data FILE.npz, or task.options.data"
            if self._data_name == RANDOM
            else "give samples in the sizes and ranges that the model was made for",
        )

    def inputs(self, split: Split) -> dict[str, Array]:
        """See :meth:`Task.inputs`."""
        if split not in self._splits:
            self._splits[split] = {name: values[self._rows(split)] for name, values in self._samples.items()}
        return self._splits[split]

    def score(self, outputs: Arrays, split: Split) -> Scores:
        """Computes ``accuracy``, ``nll`` and the requested ``fnr:CLASS`` of the first output with classes, if there are
        labels."""
        if self._labels is None:
            return {}
        logits = next((v for v in outputs.values() if v.ndim == 2 and v.shape[-1] >= 2), None)
        if logits is None:
            raise InvalidInput(
                f"{self._data_name} holds labels, but no output of the model is (samples, classes)",
                f"remove {LABELS!r} from the data file",
            )
        classes = logits.shape[-1]
        labels = self._labels.astype(np.int64)
        unknown = labels[(labels < 0) | (labels >= classes)]
        if len(unknown):
            raise InvalidInput(
                f"{self._data_name} holds the label {unknown[0]}, but the model has {classes} classes",
                f"give classes as numbers from 0 to {classes - 1}",
            )
        labels = labels[self._rows(split)]
        return classification(logits, labels) | false_negatives(logits, labels, self._false_negatives)

    def metric_names(self) -> frozenset[str]:
        """See :meth:`Task.metric_names`."""
        return frozenset() if self._labels is None else label_metrics(self._false_negatives)

    @property
    def _count(self) -> int:
        return min(len(values) for values in self._samples.values())

    def _rows(self, split: Split) -> NDArray[np.int64]:
        return self._split_rows[split]

    @cached_property
    def _split_rows(self) -> dict[str, NDArray[np.int64]]:
        order = np.random.default_rng(self._seed).permutation(self._count)
        if self.shared_split:
            return dict.fromkeys(("calibration", "validation", "test"), order)
        half, quarter = self._count // 2, self._count // 4
        return {
            "calibration": order[:half],
            "validation": order[half : half + quarter],
            "test": order[half + quarter :],
        }


def _load_samples(path: Path) -> dict[str, Array]:
    hint = "write it with: numpy.savez(path, input_name=array, …), plain numbers only"
    if not path.is_file():
        raise InvalidInput(
            f"data file {path} {'is a folder' if path.is_dir() else 'does not exist'}",
            nearest_file(path, "check the path; in a job file (task.options.data) it starts from the file's folder"),
        )
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = None if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    # For a damaged file NumPy raises errors of many kinds, including those of zip, zlib and tokenize.
    except Exception as error:  # noqa: BLE001
        # NumPy reports any unknown file as a pickle; a real one begins with its protocol byte.
        pickled = "allow_pickle=False" in str(error) or path.read_bytes()[:1] == b"\x80"
        problem = "holds pickled objects, which are never loaded" if pickled else "cannot be read as an .npz archive"
        raise InvalidInput(f"data file {path} {problem}", hint) from None
    if arrays is None:
        raise InvalidInput(f"data file {path} is a single array, not an .npz archive", hint)
    not_arrays = [name for name, values in arrays.items() if not isinstance(values, np.ndarray)]
    if not_arrays:
        raise InvalidInput(f"data file {path} holds {not_arrays[0]!r}, which is no array", hint)
    return arrays


def _convert_samples(spec: TensorSpec, samples: dict[str, Array], file: str) -> Array:
    """Converts the samples of an input to its type; raises :class:`InvalidInput` if they do not fit."""
    if spec.name not in samples:
        raise InvalidInput(
            f"data file {file} has no array for the model's input {spec.name!r}",
            f"it holds {sorted(samples)}; name the arrays like the model's inputs",
        )
    values = samples[spec.name]
    expected = "×".join("?" if dim is None else str(dim) for dim in spec.shape) or "scalar"
    rank = len(spec.shape)
    batched = values.ndim == rank and rank > 0
    dims = values.shape[1:]
    wanted = spec.shape[1:] if batched else spec.shape
    fits = values.ndim in (rank, rank + 1) and all(w is None or w == d for w, d in zip(wanted, dims, strict=False))
    if not fits:
        shape = "×".join(map(str, values.shape))
        raise InvalidInput(
            f"array {spec.name!r} of {file} has shape {shape}, the model takes {expected}",
            "give one sample per row along the first axis",
        )
    if len(values) == 0:
        raise InvalidInput(f"array {spec.name!r} of {file} is empty", "give at least one sample, ideally 100")
    target = np.dtype(spec.dtype)
    if values.dtype != target and not np.can_cast(values.dtype, target, "same_kind"):
        raise InvalidInput(
            f"array {spec.name!r} of {file} is {values.dtype}, the model takes {target}",
            f"convert it with .astype({str(target)!r})",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.ascontiguousarray(values.astype(target, copy=False))
    if np.issubdtype(target, np.inexact) and not np.isfinite(converted).all():
        raise InvalidInput(f"array {spec.name!r} of {file} holds NaN or infinity", "remove those samples")
    return converted


def _check_counts(samples: dict[str, Array], labels: Array | None, file: str) -> None:
    counts = {name: len(values) for name, values in samples.items()} | ({} if labels is None else {LABELS: len(labels)})
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InvalidInput(
            f"the arrays of {file} differ in their number of samples: {shown}", "give one row per sample in each"
        )
    if labels is not None and (labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer)):
        raise InvalidInput(
            f"array {LABELS!r} of {file} is not one class number per sample", "give integers with one axis"
        )
