"""OpenVINO on Intel processors and GPUs, in the precision that its hint asks for."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from evaluators.runtimes.base import Runtime, Session, TimedNode
from evaluators.tensors import Array, Arrays, TensorSpec
from hwprofiles.errors import BuildFailed, DeviceUnavailable, UnsupportedOp

_CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}

PRECISION = "INFERENCE_PRECISION_HINT"

Shapes = tuple[tuple[int, ...], ...]
ANY_SHAPES: Shapes = ()

MAX_SHAPES = 4
"""Input shapes that a session is compiled for one by one; feeds of further shapes share a graph of open shapes."""


class OpenVino(Runtime):
    """Floating-point layers compute in the hint's precision, Q/DQ layers on integers; nothing falls back to another
    device.

    ``f32``, ``bf16`` and ``f16`` run on the processor, with ``gpu-`` before them on the first Intel GPU. A precision
    that the device only emulates is refused. The graph is compiled for the shapes of its inputs, as OpenVINO's own
    tools do: left open, they cost it almost half its speed. Tuned for latency: one stream, threads as asked, which the
    operating system places within the process's cores.
    """

    name = "openvino"
    hints = ("f32", "bf16", "f16", "gpu-f32", "gpu-bf16", "gpu-f16")

    @property
    def family(self) -> str:
        """See :attr:`Runtime.family`."""
        return f"{self.name}:gpu" if self.on_gpu else self.name

    @property
    def on_gpu(self) -> bool:
        """See :attr:`Runtime.on_gpu`."""
        return self.hint.startswith("gpu-")

    def version(self) -> str:
        """The installed package's version."""
        return str(_library().__version__).partition("-")[0]

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """See :meth:`Runtime.open`. A graph with open shapes is compiled when its first feed is known."""
        loaded = _read(model)
        return _OpenVinoSession(loaded, model.name, self._device, self._settings(threads))

    def time_nodes(self, model: Path, feed: Arrays, *, threads: int = 1, runs: int = 20) -> list[TimedNode]:
        """See :meth:`Runtime.time_nodes`; ``provider`` is the kernel, which names its instruction set and number
        format."""
        settings = self._settings(threads) | {"PERF_COUNT": True}
        session = _OpenVinoSession(_read(model), model.name, self._device, settings)
        try:
            return session.time_nodes(feed, runs)
        finally:
            session.close()

    @property
    def _device(self) -> str:
        return "GPU" if self.on_gpu else "CPU"

    @property
    def _precision(self) -> str:
        return self.hint.removeprefix("gpu-")

    def _settings(self, threads: int) -> dict[str, Any]:
        core = _core()
        if not any(name.partition(".")[0] == self._device for name in core.available_devices):
            raise DeviceUnavailable(
                f"OpenVINO finds no {self._device} here", "use another hint, or install the device's driver"
            )
        if _CAPABILITIES[self._precision] not in core.get_property(self._device, "OPTIMIZATION_CAPABILITIES"):
            raise UnsupportedOp(f"OpenVINO does not compute in {self._precision} on this {self._device}")
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            PRECISION: self._precision,
        }
        if self._device == "CPU":
            # The measuring process has chosen its cores already; a thread pinned elsewhere would leave them.
            settings |= {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
        return settings


class _OpenVinoSession(Session):
    """Each request has a compiled graph of its own: those of one graph with one stream would wait for each other, where
    several threads run the session at once. Taking and giving back are atomic, so threads need no lock."""

    def __init__(self, model: Any, name: str, device: str, settings: dict[str, Any]) -> None:
        self._model, self._name, self._device, self._settings = model, name, device, settings
        self.inputs = tuple(_spec(port) for port in model.inputs)
        self.outputs = tuple(_spec(port) for port in model.outputs)
        self._idle: dict[Shapes, list[Any]] = {}
        self._bound: tuple[tuple[Array, ...], Any] | None = None
        if not model.is_dynamic():
            shapes = tuple(tuple(port.shape) for port in model.inputs)
            self._idle[shapes] = [self._compile(shapes)]

    def run(self, feed: Arrays) -> dict[str, Array]:
        arrays = self._arrays(feed)
        key, request = self._take(arrays)
        try:
            _bind(request, arrays)
            found = request.infer()
            values = [found[index] for index in range(len(self.outputs))]
        except _errors() as error:
            raise BuildFailed(f"the runtime refused an input: {_reason(error)}") from None
        self._idle[key].append(request)
        return {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}

    def time_ms(self, feed: Arrays) -> float:
        request = self._holding(feed)
        start = time.perf_counter_ns()
        request.infer()
        return (time.perf_counter_ns() - start) / 1e6

    def time_nodes(self, feed: Arrays, runs: int) -> list[TimedNode]:
        """Median times of the executed nodes, in order of execution."""
        request = self._holding(feed)
        request.infer()
        found: dict[str, tuple[Any, list[float]]] = {}
        for _ in range(runs):
            request.infer()
            for node in request.profiling_info:
                if node.status == type(node).Status.EXECUTED:
                    times_ms = found.setdefault(node.node_name, (node, []))[1]
                    times_ms.append(node.real_time.total_seconds() * 1e3)
        return [
            TimedNode(name=name, operator=node.node_type, ms=median(times_ms), provider=node.exec_type)
            for name, (node, times_ms) in found.items()
        ]

    def close(self) -> None:
        self._idle, self._bound, self._model = {}, None, None

    def _holding(self, feed: Arrays) -> Any:
        """A request that has the feed in its memory; the same one as long as the arrays are the same."""
        given = tuple(feed.values())
        if self._bound is None or len(given) != len(self._bound[0]) or any(map(_is_not, given, self._bound[0])):
            arrays = self._arrays(feed)
            request = self._take(arrays)[1]
            _bind(request, arrays)
            self._bound = given, request
        return self._bound[1]

    def _arrays(self, feed: Arrays) -> list[Array]:
        arrays = []
        for spec in self.inputs:
            value = feed.get(spec.name)
            if value is None:
                raise BuildFailed(f"the runtime refused an input: {spec.name!r} is missing")
            if not spec.admits(value.shape) or value.dtype.name != spec.dtype:
                raise BuildFailed(
                    f"the runtime refused an input: {spec.name!r} takes {spec.dtype} {spec.shape}, not "
                    f"{value.dtype.name} {value.shape}"
                )
            arrays.append(np.ascontiguousarray(value))
        return arrays

    def _take(self, arrays: Sequence[Array]) -> tuple[Shapes, Any]:
        """An idle request for arrays of these shapes, or a new one, and the list to give it back to."""
        shapes = tuple(array.shape for array in arrays)
        key = shapes if shapes in self._idle or len(self._idle) < MAX_SHAPES else ANY_SHAPES
        try:
            return key, self._idle.setdefault(key, []).pop()
        except IndexError:
            return key, self._compile(key)

    def _compile(self, shapes: Shapes) -> Any:
        """A request of a graph that is compiled for these shapes."""
        model = self._model
        if model is None:
            raise BuildFailed("the runtime refused an input: the session is closed")
        try:
            if shapes and model.is_dynamic():
                model = model.clone()
                model.reshape({spec.name: list(shape) for spec, shape in zip(self.inputs, shapes, strict=True)})
            compiled = _core().compile_model(model, self._device, self._settings)
        except _errors() as error:
            raise _explain(error, self._name) from None
        self._check(compiled)
        return compiled.create_infer_request()

    def _check(self, compiled: Any) -> None:
        """Raises :class:`UnsupportedOp` where something else executes than was asked for."""
        where = [str(found).partition(".")[0] for found in compiled.get_property("EXECUTION_DEVICES")]
        if where != [self._device]:
            raise UnsupportedOp(f"{self._name} runs on {where}, not on {self._device} alone")
        precision, wanted = compiled.get_property(PRECISION).get_type_name(), self._settings[PRECISION]
        if precision != wanted:
            raise UnsupportedOp(f"{self._name} runs in {precision}, not in {wanted}")


def _bind(request: Any, arrays: list[Array]) -> None:
    for index, array in enumerate(arrays):
        request.set_input_tensor(index, _library().Tensor(array, shared_memory=True))


def _is_not(one: object, other: object) -> bool:
    return one is not other


@lru_cache(maxsize=1)
def _library() -> Any:
    """OpenVINO without its telemetry, which would report every import over the network, also while we measure."""
    name = "openvino_telemetry"
    modules: dict[str, Any] = sys.modules
    known = modules.get(name)
    modules[name] = None  # importing it fails now, which OpenVINO provides for
    try:
        import openvino
        import openvino.frontend
    except ImportError:
        raise DeviceUnavailable(
            "OpenVINO is not installed", "install it with: pip install 'paretune[openvino]'"
        ) from None
    finally:
        if known is None:
            del modules[name]
        else:
            modules[name] = known
    return openvino


@lru_cache(maxsize=1)
def _core() -> Any:
    """OpenVINO's devices; loading them takes a moment, and it sees the cores that the process has then."""
    return _library().Core()


def _read(model: Path) -> Any:
    """The file as an ONNX model and nothing else: OpenVINO's own guess would try the parsers of six other formats on
    what a stranger sent."""
    if not model.is_file():
        raise BuildFailed(f"OpenVINO does not load {model.name}: there is no such file")
    frontend = _library().frontend.FrontEndManager().load_by_framework("onnx")
    try:
        loaded = frontend.convert(frontend.load(str(model)))
    except _errors() as error:
        raise _explain(error, model.name) from None
    if not loaded.outputs:
        raise BuildFailed(f"OpenVINO does not load {model.name}: the file holds no model")
    return loaded


def _errors() -> tuple[type[Exception], ...]:
    frontend = _library().frontend
    return (
        RuntimeError, ValueError, TypeError, frontend.GeneralFailure, frontend.InitializationFailure,
        frontend.NotImplementedFailure, frontend.OpConversionFailure, frontend.OpValidationFailure,
    )  # fmt: skip


# An operator that cannot be read, one that no kernel executes, and one whose kernels lack this number format.
_UNSUPPORTED = ("No conversion rule found", "Unsupported operation", "No suitable implementations", "is not supported")


def _explain(error: Exception, name: str) -> BuildFailed | UnsupportedOp:
    text = _reason(error)
    unsupported = any(words in text for words in _UNSUPPORTED) or type(error).__name__ == "NotImplementedFailure"
    kind = UnsupportedOp if unsupported else BuildFailed
    return kind(f"OpenVINO does not load {name}: {text}")


_NOISE = ("Exception from ", "Check '", "FrontEnd API failed", "Model wasn't fully converted", "Summary:")


def _reason(error: Exception) -> str:
    """The first line that says what is wrong rather than where in the library."""
    lines = [line.strip().removeprefix("-- ") for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_NOISE)]
    return (telling or lines or [type(error).__name__])[0][:400]


_ELEMENTS = {
    "f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16", "boolean": "bool", "string": "object",
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)}, **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}  # fmt: skip


def _spec(port: Any) -> TensorSpec:
    kind = str(port.element_type.get_type_name())
    shape = tuple(dim.get_length() if dim.is_static else None for dim in port.partial_shape)
    return TensorSpec(str(port.get_any_name()), _ELEMENTS.get(kind, kind), shape)
