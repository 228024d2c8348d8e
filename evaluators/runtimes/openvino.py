"""OpenVINO on Intel processors and GPUs, in the precision of its hint."""

from __future__ import annotations

import operator
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
from hwprofiles.installed import install_command

_CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}

PRECISION = "INFERENCE_PRECISION_HINT"

Shapes = tuple[tuple[int, ...], ...]
ANY_SHAPES: Shapes = ()
"""Stands for the graph with dynamic shapes."""

MAX_SHAPES = 4
"""Number of input shapes for which a session compiles its own graph; others share one graph with dynamic shapes."""


class OpenVino(Runtime):
    """OpenVINO, tuned for latency: float layers in the hint's precision, Q/DQ layers in integers, no fallback device.

    ``f32``, ``bf16`` and ``f16`` run on the processor; with the prefix ``gpu-`` on the first Intel GPU. A precision
    that the device only emulates is refused. The graph is compiled for the shapes of its inputs, as OpenVINO's own
    tools do: dynamic shapes cost almost half its speed. It runs one stream; the operating system places its threads
    within the process's cores.
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
        """Returns the installed package's version."""
        return str(_library().__version__).partition("-")[0]

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """See :meth:`Runtime.open`. A graph with dynamic shapes is compiled at its first feed."""
        loaded = _read(model)
        return _OpenVinoSession(loaded, model.name, self._device, self._settings(threads))

    def time_nodes(self, model: Path, feed: Arrays, *, threads: int = 1, runs: int = 20) -> list[TimedNode]:
        """See :meth:`Runtime.time_nodes`; ``provider`` is the kernel with its instruction set and number format."""
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
            # The measuring process is pinned already; OpenVINO's own pinning would move threads to other cores.
            settings |= {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
        return settings


class _OpenVinoSession(Session):
    """A session in which each request has a compiled graph of its own.

    Requests of one graph with one stream would wait for each other if several threads ran the session at once. Taking
    and returning requests is atomic, so threads need no lock.
    """

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
            results = request.infer()
            values = [results[index] for index in range(len(self.outputs))]
        except _errors() as error:
            raise BuildFailed(f"the runtime refused an input: {_reason(error)}") from None
        self._idle[key].append(request)
        return {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}

    def time_ms(self, feed: Arrays) -> float:
        request = self._bound_request(feed)
        start = time.perf_counter_ns()
        request.infer()
        return (time.perf_counter_ns() - start) / 1e6

    def time_nodes(self, feed: Arrays, runs: int) -> list[TimedNode]:
        """Returns the executed nodes with their median times, in order of execution."""
        request = self._bound_request(feed)
        request.infer()
        nodes: dict[str, tuple[Any, list[float]]] = {}
        for _ in range(runs):
            request.infer()
            for node in request.profiling_info:
                if node.status == type(node).Status.EXECUTED:
                    times_ms = nodes.setdefault(node.node_name, (node, []))[1]
                    times_ms.append(node.real_time.total_seconds() * 1e3)
        return [
            TimedNode(name=name, operator=node.node_type, ms=median(times_ms), provider=node.exec_type)
            for name, (node, times_ms) in nodes.items()
        ]

    def close(self) -> None:
        self._idle, self._bound, self._model = {}, None, None

    def _bound_request(self, feed: Arrays) -> Any:
        """Returns a request with the feed in its memory; the previous one if the arrays are identical."""
        values = tuple(feed.values())
        if self._bound is None or not _are_identical(values, self._bound[0]):
            arrays = self._arrays(feed)
            request = self._take(arrays)[1]
            _bind(request, arrays)
            self._bound = values, request
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
        """Returns an idle or new request for arrays of these shapes, and the key under which to return it."""
        shapes = tuple(array.shape for array in arrays)
        key = shapes if shapes in self._idle or len(self._idle) < MAX_SHAPES else ANY_SHAPES
        try:
            return key, self._idle.setdefault(key, []).pop()
        except IndexError:
            return key, self._compile(key)

    def _compile(self, shapes: Shapes) -> Any:
        """Compiles the graph for these shapes and creates a request."""
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
        """Raises :class:`UnsupportedOp` if the graph runs on another device or in another precision than requested."""
        devices = [str(device).partition(".")[0] for device in compiled.get_property("EXECUTION_DEVICES")]
        if devices != [self._device]:
            raise UnsupportedOp(f"{self._name} runs on {devices}, not on {self._device} alone")
        precision, wanted = compiled.get_property(PRECISION).get_type_name(), self._settings[PRECISION]
        if precision != wanted:
            raise UnsupportedOp(f"{self._name} runs in {precision}, not in {wanted}")


def _bind(request: Any, arrays: list[Array]) -> None:
    for index, array in enumerate(arrays):
        request.set_input_tensor(index, _library().Tensor(array, shared_memory=True))


def _are_identical(arrays: Sequence[Array], bound: Sequence[Array]) -> bool:
    return len(arrays) == len(bound) and all(map(operator.is_, arrays, bound))


@lru_cache(maxsize=1)
def _library() -> Any:
    """Imports OpenVINO without its telemetry, which would report each import over the network, even while measuring."""
    name = "openvino_telemetry"
    modules: dict[str, Any] = sys.modules
    previous = modules.get(name)
    modules[name] = None  # importing it now fails, which OpenVINO handles
    try:
        import openvino
        import openvino.frontend
    except ImportError:
        raise DeviceUnavailable(
            "OpenVINO is not installed", f"install it with: {install_command('openvino')}"
        ) from None
    finally:
        if previous is None:
            del modules[name]
        else:
            modules[name] = previous
    return openvino


@lru_cache(maxsize=1)
def _core() -> Any:
    """Loads OpenVINO's devices, which takes a moment; it uses the cores that the process has at that time."""
    return _library().Core()


def _read(model: Path) -> Any:
    """Reads a file as ONNX only: OpenVINO's detection would try the parsers of six other formats on untrusted input."""
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


# Errors for an operator that cannot be read, has no kernel, or has no kernel for this number format.
_UNSUPPORTED = ("No conversion rule found", "Unsupported operation", "No suitable implementations", "is not supported")


def _explain(error: Exception, name: str) -> BuildFailed | UnsupportedOp:
    text = _reason(error)
    unsupported = any(words in text for words in _UNSUPPORTED) or type(error).__name__ == "NotImplementedFailure"
    kind = UnsupportedOp if unsupported else BuildFailed
    return kind(f"OpenVINO does not load {name}: {text}")


_NOISE = ("Exception from ", "Check '", "FrontEnd API failed", "Model wasn't fully converted", "Summary:")


def _reason(error: Exception) -> str:
    """Returns the first line that says what is wrong instead of where in the library."""
    lines = [line.strip().removeprefix("-- ") for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if not line.startswith(_NOISE)]
    return (reasons or lines or [type(error).__name__])[0][:400]


_ELEMENTS = {
    "f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16", "boolean": "bool", "string": "object",
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)}, **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}  # fmt: skip


def _spec(port: Any) -> TensorSpec:
    kind = str(port.element_type.get_type_name())
    shape = tuple(dim.get_length() if dim.is_static else None for dim in port.partial_shape)
    return TensorSpec(str(port.get_any_name()), _ELEMENTS.get(kind, kind), shape)
