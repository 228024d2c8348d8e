"""What a runtime promises: it opens an exported file and runs or times it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluators.tensors import Array, Arrays, TensorSpec
from hwprofiles.errors import BuildFailed, InvalidInput


@dataclass(frozen=True)
class TimedNode:
    """One node of the graph that a runtime made of a model, as it was executed: its median time, where it ran, and the
    NumPy type names and shapes of what it read and wrote (constants included)."""

    name: str
    operator: str
    ms: float
    provider: str
    inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    outputs: tuple[tuple[str, tuple[int, ...]], ...] = ()


class Session(ABC):
    """One opened model. Owned by whoever opened it, who also closes it; not to be shared between processes.

    ``run`` may be called from several threads at once; ``time_ms`` may not.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @abstractmethod
    def run(self, feed: Arrays) -> dict[str, Array]:
        """Outputs by name for inputs by name. Raises :class:`BuildFailed` when the runtime refuses."""

    @abstractmethod
    def time_ms(self, feed: Arrays) -> float:
        """Wall time of one inference in milliseconds."""

    @abstractmethod
    def close(self) -> None:
        """Frees the model. Harmless when called again."""

    def samples_at_once(self, samples: Arrays, batch: int) -> int:
        """How many samples one inference takes where ``batch`` are wanted: a model with a fixed batch decides that
        itself, one with an input that has no batch axis takes a single sample. Scalar inputs are shared by a batch, so
        that they must be equal in all samples; else it is a single sample too.

        Raises :class:`BuildFailed` for a missing input, or a fixed batch over which a scalar input differs.
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
        """Splits samples (first axis of every array) into feeds of :meth:`samples_at_once` samples; where the model's
        batch is fixed, the last feed is filled up with the last sample."""
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
        """Outputs for all samples, computed ``batch`` at a time as the device will, ``workers`` at once.

        The batch matters to quality: dynamic quantisation takes its ranges from what is in one batch.
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
    """The outputs of all inferences, first axis samples; ``whole`` says that each has that axis already."""
    return np.concatenate(parts) if whole and parts[0].ndim else np.stack(parts)


def _fill_up(rows: Array, batch: int) -> Array:
    return np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows), axis=0)]) if len(rows) < batch else rows


class Runtime(ABC):
    """Opens exported files, in the way that ``hint`` asks for. Holds no state between calls, safe in several threads
    and processes.

    ``hints`` are the ways that it knows, the first its own default, which no hint means too: precisions that it
    computes in, providers.
    """

    name: ClassVar[str]
    hints: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, hint: str = "") -> None:
        hint = hint or self.hints[0]
        if hint not in self.hints:
            raise InvalidInput(
                f"runtime {self.name!r} has no hint {hint!r}",
                f"known: {', '.join(h for h in self.hints if h) or 'none'}",
            )
        self.hint = hint

    @property
    def family(self) -> str:
        """Names the kernels behind name and hint: the graph that one of a family runs best, its others run best too."""
        return f"{self.name}:{self.hint}" if self.hint else self.name

    @property
    def on_gpu(self) -> bool:
        """Whether it executes on a GPU rather than on the processor."""
        return False

    @abstractmethod
    def version(self) -> str:
        """The version that executes; raises :class:`DeviceUnavailable` where the runtime is not installed."""

    @abstractmethod
    def open(self, model: Path, *, threads: int = 1) -> Session:
        """Opens a file. Raises :class:`UnsupportedOp` for an operator that is not executed here, :class:`BuildFailed`
        for a file that cannot be loaded."""

    def check_placement(self, model: Path, *, threads: int = 1) -> None:
        """Raises :class:`UnsupportedOp` that names the nodes of a file which this runtime would leave to another
        processor or provider than the one that it stands for. A runtime that has but one leaves nothing."""
        return

    def time_nodes(self, model: Path, feed: Arrays, *, threads: int = 1, runs: int = 20) -> list[TimedNode]:
        """The nodes that one inference executes, in order; empty where a runtime does not say.

        Timing each node slows a model down: the sum is an upper bound of its latency, the shares are what counts.
        """
        return []
