"""Runs a model in ONNX Runtime for its values: of any tensor, batch by batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import onnx
from numpy.typing import NDArray

from evaluators.graphs.file import write_proto
from evaluators.graphs.graph import Graph
from evaluators.processes.freed_memory import give_back_memory
from evaluators.tensors import Array
from hwprofiles.errors import BuildFailed, DeviceUnavailable


def run_once(
    model: onnx.ModelProto, feed: Mapping[str, Array], tensors: Iterable[str] | None = None, *, threads: int = 1,
    behind: Sequence[onnx.NodeProto] = (),
) -> dict[str, Array]:  # fmt: skip
    """Tensors of a model for one feed, its outputs by default; raises :class:`BuildFailed` where either is refused.

    ``behind`` are nodes to add at the end; their outputs may be among ``tensors``.
    """
    names = tuple(value.name for value in model.graph.output) if tensors is None else tuple(tensors)
    ((_, values),) = ReferenceRun(model, names, threads, None, behind)([feed])
    return {name: np.asarray(values[name]) for name in names}


class ReferenceRun:
    """Yields each batch with the values of the wanted tensors."""

    def __init__(
        self, model: onnx.ModelProto, names: tuple[str, ...], threads: int, between: Callable[[], None] | None,
        behind: Sequence[onnx.NodeProto] = (),
    ) -> None:  # fmt: skip
        self.names, self.between = names, between
        graph = Graph(model.graph)
        self.fed = graph.inputs
        self.computed = [name for name in names if name not in graph.inputs]
        added = onnx.ModelProto()
        added.graph.node.extend(behind)
        hidden = [name for name in self.computed if name not in graph.outputs]
        added.graph.output.extend(onnx.ValueInfoProto(name=name) for name in hidden)
        try:
            import onnxruntime as ort
        except ImportError:
            raise DeviceUnavailable(
                "ONNX Runtime is not installed", "install it with: pip install 'paretune[ort]'"
            ) from None
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.errors: tuple[type[Exception], ...] = (*_runtime_errors(), ValueError, TypeError)
        try:
            # By a file: no copy of the weights in memory. Two messages, one behind the other, are read as one.
            with tempfile.TemporaryDirectory(prefix="paretune-run-") as folder:
                path = Path(folder) / "model.onnx"
                with path.open("wb") as file:
                    write_proto(model, file)
                    file.write(added.SerializeToString())
                self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except self.errors as error:
            raise BuildFailed(f"the runtime does not load the model: {_first_line(error)}") from None
        give_back_memory()

    def __call__(
        self, batches: Iterable[Mapping[str, Array]]
    ) -> Iterator[tuple[Mapping[str, Array], dict[str, NDArray[np.float32]]]]:
        """Runs batch after batch; yields each feed with the values of the wanted tensors by name."""
        for batch in batches:
            feed = {name: batch[name] for name in batch if name in self.fed}
            try:
                results = self.session.run(self.computed, feed) if self.computed else []
            except self.errors as error:
                raise BuildFailed(f"the model does not take the calibration data: {_first_line(error)}") from None
            known = {**feed, **dict(zip(self.computed, results, strict=True))}
            values = {name: known[name] for name in self.names if name in known}
            yield feed, cast("dict[str, NDArray[np.float32]]", values)
            if self.between is not None:
                self.between()


def _runtime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented,
        state.RuntimeException,
    )  # fmt: skip


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
