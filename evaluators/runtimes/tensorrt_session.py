"""Runs one TensorRT engine: buffers, a stream, and inferences timed in parts."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from evaluators.runtimes.base import Session, TimedNode
from evaluators.runtimes.cuda import Buffer
from evaluators.runtimes.tensorrt_library import Library
from evaluators.tensors import Array, Arrays, TensorSpec
from hwprofiles.errors import BuildFailed, OutOfMemory, UnsupportedOp

PROVIDER = "TensorRT"


@dataclass(frozen=True)
class Timings:
    """Times of one inference on the GPU's clock: copying inputs, computing, copying outputs."""

    host_to_device_ms: float
    compute_ms: float
    device_to_host_ms: float


class TensorRtSession(Session):
    """Runs an engine on one stream.

    ``engine_for`` builds or loads an engine for given shapes of the dynamic inputs. It is called at the first
    inference, and again for larger shapes; smaller shapes use the engine at hand.

    ``time_ms`` is the wall time from inputs in ordinary memory to outputs in the host's page-locked memory.
    """

    def __init__(
        self,
        library: Library,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        engine_for: Callable[[dict[str, tuple[int, ...]]], Any],
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._library, self._cuda = library, library.cuda
        self._engine_for = engine_for
        self._lock = threading.Lock()
        self._engine: Any = None
        self._context: Any = None
        self._largest: dict[str, tuple[int, ...]] = {}
        self._shapes: dict[str, tuple[int, ...]] | None = None
        self._buffers: dict[str, Buffer] = {}
        self._stream: Any = library.cuda.stream()
        with ExitStack() as stack:
            stack.callback(self.close)
            if not any(None in spec.shape for spec in inputs):
                self._use_engine({})
            stack.pop_all()

    def run(self, feed: Arrays) -> dict[str, Array]:
        """See :meth:`Session.run`. Threads take turns: an engine's context serves one inference at a time."""
        with self._lock:
            self._fit(feed)
            self._infer(feed)
            return {spec.name: self._buffers[spec.name].array.copy() for spec in self.outputs}

    def time_ms(self, feed: Arrays) -> float:
        """See :meth:`Session.time_ms`."""
        with self._lock:
            self._fit(feed)
            start = time.perf_counter_ns()
            self._infer(feed)
            return (time.perf_counter_ns() - start) / 1e6

    def timings(self, feed: Arrays) -> Timings:
        """Times one inference in parts; its four events make it slightly slower than :meth:`time_ms`."""
        with self._lock:
            self._fit(feed)
            events: list[Any] = []
            try:
                events.extend(self._cuda.event() for _ in range(4))
                self._infer(feed, events)
                return Timings(*(self._cuda.ms_between(a, b) for a, b in pairwise(events)))
            finally:
                for event in events:
                    self._cuda.drop_event(event)

    def time_layers(self, feed: Arrays, runs: int) -> list[TimedNode]:
        """Times the engine's layers with TensorRT's profiler; returns them in order with median times."""
        with self._lock:
            self._fit(feed)
            profiler = _profiler(self._library.trt)
            self._context.enqueue_emits_profile = True
            self._context.profiler = profiler
            for number in range(runs + 1):
                self._infer(feed)
                if number == 0:
                    profiler.times_ms.clear()
            inspector = self._engine.create_engine_inspector()
            inspector.execution_context = self._context
            description = inspector.get_engine_information(self._library.trt.LayerInformationFormat.JSON)
            return layers_of(profiler.times_ms, description)

    def close(self) -> None:
        """See :meth:`Session.close`."""
        buffers, self._buffers = self._buffers, {}
        for buffer in buffers.values():
            buffer.free()
        self._context = self._engine = None
        stream, self._stream = self._stream, None
        if stream is not None:
            self._cuda.drop_stream(stream)

    def _infer(self, feed: Arrays, events: Sequence[Any] = ()) -> None:
        """Copies inputs, computes, copies outputs and waits; ``events`` are recorded before and after each step."""
        marks = iter(events)
        self._mark(marks)
        for spec in self.inputs:
            buffer = self._buffers[spec.name]
            np.copyto(buffer.array, feed[spec.name])
            self._cuda.to_device(buffer.device, buffer.host, buffer.size_bytes, self._stream)
        self._mark(marks)
        if not self._context.execute_async_v3(int(self._stream)):
            self._cuda.wait(self._stream)
            raise BuildFailed(f"TensorRT did not run the model: {self._library.log.text or 'it did not say why'}")
        self._mark(marks)
        for spec in self.outputs:
            buffer = self._buffers[spec.name]
            self._cuda.to_host(buffer.host, buffer.device, buffer.size_bytes, self._stream)
        self._mark(marks)
        self._cuda.wait(self._stream)

    def _mark(self, marks: Any) -> None:
        event = next(marks, None)
        if event is not None:
            self._cuda.mark(event, self._stream)

    def _fit(self, feed: Arrays) -> None:
        """Prepares engine, shapes and buffers for a feed; does nothing if its shapes are those of the last feed."""
        if self._stream is None:
            raise BuildFailed("the model was closed")
        shapes = {}
        for spec in self.inputs:
            if spec.name not in feed:
                raise BuildFailed(f"the runtime refused an input: {spec.name!r} is missing")
            values = np.asarray(feed[spec.name])
            if not spec.admits(values.shape) or values.dtype != np.dtype(spec.dtype):
                raise BuildFailed(
                    f"the runtime refused an input: {spec.name!r} is {values.dtype}{list(values.shape)}, "
                    f"the model takes {spec.dtype}{[dim or '?' for dim in spec.shape]}"
                )
            shapes[spec.name] = tuple(values.shape)
        if shapes == self._shapes:
            return
        self._shapes = None
        varying = {spec.name: shapes[spec.name] for spec in self.inputs if None in spec.shape}
        if self._engine is None or any(
            size > limit for name in varying for size, limit in zip(varying[name], self._largest[name], strict=True)
        ):
            self._use_engine(varying)
        for name, shape in varying.items():
            if not self._context.set_input_shape(name, shape):
                raise BuildFailed(f"TensorRT refuses shape {list(shape)} of input {name!r}")
        if unknown := self._context.infer_shapes():
            raise BuildFailed(f"TensorRT does not know the shape of {unknown[0]!r}")
        self._place(shapes)
        self._shapes = shapes

    def _use_engine(self, largest: dict[str, tuple[int, ...]]) -> None:
        self._engine = self._engine_for(largest)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise OutOfMemory("the GPU has no memory left for the engine", "use a smaller batch, or free the GPU")
        self._largest = largest

    def _place(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Allocates a buffer for each input and output, and passes its address to the context."""
        wanted = {spec.name: (spec.dtype, shapes[spec.name]) for spec in self.inputs}
        for spec in self.outputs:
            shape = tuple(int(dim) for dim in self._context.get_tensor_shape(spec.name))
            if any(dim < 0 for dim in shape):
                raise UnsupportedOp(f"the shape of output {spec.name!r} depends on the data, which is not measured")
            wanted[spec.name] = (spec.dtype, shape)
        buffers, self._buffers = self._buffers, {}
        for buffer in buffers.values():
            buffer.free()
        for name, (kind, shape) in wanted.items():
            self._buffers[name] = Buffer(self._cuda, shape, numpy_type(kind, name))
            if not self._context.set_tensor_address(name, self._buffers[name].device):
                raise BuildFailed(f"TensorRT refuses the memory of {name!r}")


def numpy_type(kind: str, name: str) -> np.dtype[Any]:
    """Returns NumPy's type of an input or output; raises :class:`UnsupportedOp` if NumPy lacks it."""
    if kind == "bfloat16":
        try:
            import ml_dtypes
        except ImportError:
            raise UnsupportedOp(f"{name!r} is bfloat16, for which the package ml_dtypes is missing") from None
        dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return dtype
    try:
        return np.dtype(kind)
    except TypeError:
        raise UnsupportedOp(f"{name!r} is {kind}, which cannot be an input or output here") from None


def _profiler(trt: Any) -> Any:
    """Creates a profiler that collects each layer's times in milliseconds, in the order of first execution."""

    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times_ms: dict[str, list[float]] = defaultdict(list)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times_ms[layer_name].append(float(ms))

    return Profiler()


def layers_of(times_ms: dict[str, list[float]], description: str) -> list[TimedNode]:
    """Combines times of layers with the engine inspector's JSON ``description`` of their kinds, types and shapes.

    These are empty if the inspector gives only a layer's name. Times are medians.
    """
    descriptions = {layer["Name"]: layer for layer in _layer_descriptions(description)}
    nodes = []
    for name, times in times_ms.items():
        layer = descriptions.get(name, {})
        nodes.append(
            TimedNode(
                name=name,
                operator=str(layer.get("LayerType", "")),
                ms=median(times),
                provider=PROVIDER,
                inputs=_tensors(layer.get("Inputs", ())),
                outputs=_tensors(layer.get("Outputs", ())),
            )
        )
    return nodes


def _layer_descriptions(description: str) -> list[dict[str, Any]]:
    try:
        layers = json.loads(description).get("Layers", [])
    except (json.JSONDecodeError, AttributeError):
        return []
    return [layer for layer in layers if isinstance(layer, dict) and "Name" in layer]


# Type names within a tensor's "Format/Datatype" in the inspector's words; the longer names first.
_FORMATS = (("FP16", "float16"), ("BF16", "bfloat16"), ("FP32", "float32"), ("Half", "float16"), ("Float", "float32"),
            ("UInt8", "uint8"), ("Int8", "int8"), ("Int32", "int32"), ("Int64", "int64"), ("Bool", "bool"),
            ("FP8", "float8"), ("Int4", "int4"))  # fmt: skip


def _tensors(descriptions: Sequence[dict[str, Any]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    tensors = []
    for entry in descriptions:
        words = str(entry.get("Datatype") or entry.get("Format/Datatype") or "").lower()
        kind = next((ours for theirs, ours in _FORMATS if theirs.lower() in words), words)
        tensors.append((kind, tuple(int(dim) for dim in entry.get("Dimensions", ()))))
    return tuple(tensors)
