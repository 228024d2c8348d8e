"""The interface of runtimes: open an exported file, run it, time it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluators.tensors import Array, Arrays, TensorSpec
from hwprofiles.errors import BuildFailed, InvalidInput
from hwprofiles.suggestions import nearest


@dataclass(frozen=True)
class TimedNode:
    """One executed node of the graph that a runtime compiled from a model."""

    name: str
    operator: str
    ms: float
    """Median time."""
    provider: str
    """Provider or kernel that executed it."""
    inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """NumPy type name and shape of each tensor read, constants included."""
    outputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """NumPy type name and shape of each tensor written."""


class Session(ABC):
    """One opened model; its caller closes it. Not to be shared between processes.

    ``run`` may be called from several threads at once; ``time_ms`` may not.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @abstractmethod
    def run(self, feed: Arrays) -> dict[str, Array]:
        """Runs one inference; returns outputs by name. Raises :class:`BuildFailed` if the runtime refuses the feed."""

    @abstractmethod
    def time_ms(self, feed: Arrays) -> float:
        """Runs one inference and returns its wall time in milliseconds."""

    @abstractmethod
    def close(self) -> None:
        """Frees the model; further calls do nothing."""

    def samples_at_once(self, samples: Arrays, batch: int) -> int:
        """Returns the number of samples per inference if ``batch`` are requested.

        A fixed batch of the model overrides ``batch``. It is 1 if an input has no batch axis, or if a scalar input,
        which all samples of a batch share, is not equal in all samples.

        Raises :class:`BuildFailed` if an input is missing, or if a scalar input differs within a fixed batch.
        """
        missing = [spec.name for spec in self.inputs if spec.name not in samples]
        if missing:
            raise BuildFailed(f"the model's input {missing[0]!r} is not among the samples {sorted(samples)}")
        scalars = [spec for spec in self.inputs if not spec.shape]
        batched = [spec for spec in self.inputs if spec.shape and samples[spec.name].ndim == len(spec.shape)]
        differing = [spec.name for spec in scalars if (samples[spec.name] != samples[spec.name][:1]).any()]
        single = len(scalars) + len(batched) < len(self.inputs) or not batched or bool(differing)
        fixed = next((spec.shape[0] for spec in batched if spec.shape[0] is not None), None)
        if fixed not in (None, 1) and differing:
            raise BuildFailed(
                f"the model takes {fixed} samples at once, but its scalar input {differing[0]!r} differs between them",
                "give every sample the same value of it",
            )
        return 1 if single else batch if fixed is None else fixed

    def batches(self, samples: Arrays, batch: int) -> list[dict[str, Array]]:
        """Splits samples (first axis of every array) into feeds of :meth:`samples_at_once` samples.

        If the model's batch is fixed, the last feed is filled up with the last sample.
        """
        size = self.samples_at_once(samples, batch)
        fixed = any(spec.shape and spec.shape[0] is not None for spec in self.inputs)
        count = min(len(samples[spec.name]) for spec in self.inputs)
        feeds = []
        for start in range(0, count, size):
            feed = {}
            for spec in self.inputs:
                rows = spec.rows(samples[spec.name], start, start + size)
                whole = fixed and spec.shape and samples[spec.name].ndim == len(spec.shape)
                feed[spec.name] = _fill_up(rows, size) if whole else rows
            feeds.append(feed)
        return feeds

    def predict(self, samples: Arrays, *, batch: int = 1, workers: int = 1) -> dict[str, Array]:
        """Computes the outputs of all samples, ``batch`` per inference, with ``workers`` inferences at once.

        ``batch`` must be the device's: dynamic quantisation takes its ranges from the samples of one batch.
        """
        feeds = self.batches(samples, batch)
        count = min(len(samples[spec.name]) for spec in self.inputs)
        if workers == 1:
            parts = [self.run(feed) for feed in feeds]
        else:
            with ThreadPoolExecutor(workers) as pool:
                parts = list(pool.map(self.run, feeds))
        whole = all(samples[spec.name].ndim == len(spec.shape) for spec in self.inputs if spec.shape)
        whole = whole and any(spec.shape for spec in self.inputs)
        return {
            spec.name: _join_outputs([part[spec.name] for part in parts], whole=whole)[:count] for spec in self.outputs
        }


def _join_outputs(parts: list[Array], *, whole: bool) -> Array:
    """Joins the outputs of inferences along the first axis if ``whole``, else stacks them along a new axis."""
    return np.concatenate(parts) if whole and parts[0].ndim else np.stack(parts)


def _fill_up(rows: Array, batch: int) -> Array:
    return np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows), axis=0)]) if len(rows) < batch else rows


class Runtime(ABC):
    """Opens exported files for execution.

    Has no state between calls; safe in several threads and processes.
    """

    name: ClassVar[str]
    hints: ClassVar[tuple[str, ...]] = ("",)
    """Variants of the runtime, such as precisions or providers; the first is used if no hint is given."""

    def __init__(self, hint: str = "") -> None:
        hint = hint or self.hints[0]
        if hint not in self.hints:
            raise InvalidInput(
                f"runtime {self.name!r} has no hint {hint!r}",
                nearest(hint, tuple(h for h in self.hints if h)) if any(self.hints) else f"write only {self.name}",
            )
        self.hint = hint

    @property
    def family(self) -> str:
        """Names the runtime's kernels: the graph that is fastest for one member of a family is fastest for all."""
        return f"{self.name}:{self.hint}" if self.hint else self.name

    @property
    def on_gpu(self) -> bool:
        """Whether it executes on a GPU instead of the processor."""
        return False

    @abstractmethod
    def version(self) -> str:
        """Returns the installed version; raises :class:`DeviceUnavailable` if the runtime is not installed."""

    @abstractmethod
    def open(self, model: Path, *, threads: int = 1) -> Session:
        """Opens a file.

        Raises:
            UnsupportedOp: the runtime does not execute an operator of the file.
            BuildFailed: the file cannot be loaded.
        """

    def check_placement(self, model: Path, *, threads: int = 1) -> None:
        """Checks that every node of a file would run on this runtime's own processor or provider.

        Raises :class:`UnsupportedOp` with the names of nodes that would not. By default nothing is checked, which suits
        runtimes with a single provider.
        """
        return

    def time_nodes(self, model: Path, feed: Arrays, *, threads: int = 1, runs: int = 20) -> list[TimedNode]:
        """Times the nodes of one inference, in order of execution; empty if the runtime does not report nodes.

        Timing each node slows the model down: the sum exceeds its latency; only the shares are meaningful.
        """
        return []
