"""Runs a model in ONNX Runtime to read the values of any tensor, batch by batch."""

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
from hwprofiles.errors import BuildFailed, DeviceUnavailable, first_line
from hwprofiles.installed import install_command


def run_once(
    model: onnx.ModelProto, feed: Mapping[str, Array], tensors: Iterable[str] | None = None, *, threads: int = 1,
    behind: Sequence[onnx.NodeProto] = (),
) -> dict[str, Array]:  # fmt: skip
    """Runs a model on one feed and returns ``tensors`` by name, its outputs by default.

    ``behind`` are nodes to append to the graph; their outputs may be among ``tensors``. Raises :class:`BuildFailed` if
    the runtime refuses the model or the feed.
    """
    names = tuple(value.name for value in model.graph.output) if tensors is None else tuple(tensors)
    ((_, values),) = ReferenceRun(model, names, threads, None, behind)([feed])
    return {name: np.asarray(values[name]) for name in names}


class ReferenceRun:
    """A session that returns the named tensors of a model for each batch."""

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
                "ONNX Runtime is not installed", f"install it with: {install_command('ort')}"
            ) from None
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.errors: tuple[type[Exception], ...] = (*_runtime_errors(), ValueError, TypeError)
        try:
            # A file avoids a copy of the weights in memory. Two concatenated messages are parsed as one.
            with tempfile.TemporaryDirectory(prefix="paretune-run-") as folder:
                path = Path(folder) / "model.onnx"
                with path.open("wb") as file:
                    write_proto(model, file)
                    file.write(added.SerializeToString())
                self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except self.errors as error:
            raise BuildFailed(f"the runtime does not load the model: {first_line(error)}") from None
        give_back_memory()

    def __call__(
        self, batches: Iterable[Mapping[str, Array]]
    ) -> Iterator[tuple[Mapping[str, Array], dict[str, NDArray[np.float32]]]]:
        """Runs batch after batch; yields each feed with the values of the named tensors."""
        for batch in batches:
            feed = {name: batch[name] for name in batch if name in self.fed}
            try:
                results = self.session.run(self.computed, feed) if self.computed else []
            except self.errors as error:
                raise BuildFailed(f"the model does not take the calibration data: {first_line(error)}") from None
            tensors = {**feed, **dict(zip(self.computed, results, strict=True))}
            values = {name: tensors[name] for name in self.names if name in tensors}
            yield feed, cast("dict[str, NDArray[np.float32]]", values)
            if self.between is not None:
                self.between()


def _runtime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented,
        state.RuntimeException,
    )  # fmt: skip
