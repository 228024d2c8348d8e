"""ONNX Runtime on the processor or on an NVIDIA GPU."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.processes.freed_memory import give_back_memory
from evaluators.runtimes.base import Runtime, Session, TimedNode
from evaluators.runtimes.onnxruntime_nodes import profile_nodes
from evaluators.runtimes.onnxruntime_providers import (
    PROVIDERS,
    check_all_on,
    check_available,
    check_providers,
    providers_of,
)
from evaluators.tensors import Array, Arrays, TensorSpec
from hwprofiles.errors import BuildFailed, DeviceUnavailable, UnsupportedOp, first_line
from hwprofiles.installed import install_command

SPIN_US = 1000
"""Microseconds for which a session's threads spin before they sleep. Timed inferences follow each other within
microseconds, so the threads stay awake between them, as in a process that infers without pause."""


class OnnxRuntime(Runtime):
    """ONNX Runtime with all graph optimisations, on exactly one provider.

    Hints: none for the processor, ``cuda``, ``cuda-tf32`` (rounds float products to 10 bits of mantissa), or
    ``tensorrt``.
    """

    name = "onnxruntime"
    hints = tuple(PROVIDERS)

    @property
    def family(self) -> str:
        """See :attr:`Runtime.family`."""
        provider = self.hint.partition("-")[0]
        return f"{self.name}:{provider}" if provider else self.name

    @property
    def on_gpu(self) -> bool:
        """See :attr:`Runtime.on_gpu`."""
        return bool(self.hint)

    def version(self) -> str:
        """Returns the installed package's version."""
        return str(_module().__version__)

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """See :meth:`Runtime.open`."""
        return _OrtSession(self._session(model, threads))

    def check_placement(self, model: Path, *, threads: int = 1) -> None:
        """See :meth:`Runtime.check_placement`."""
        session = self._session(model, threads, record=True)
        inputs = [_spec(value) for value in session.get_inputs()]
        check_all_on(
            self.hint, session, model.name, inputs, lambda feed: self.time_nodes(model, feed, threads=threads, runs=0)
        )

    def time_nodes(self, model: Path, feed: Arrays, *, threads: int = 1, runs: int = 20) -> list[TimedNode]:
        """See :meth:`Runtime.time_nodes`."""
        return profile_nodes(lambda prefix: self._session(model, threads, prefix), feed, runs)

    def _session(self, model: Path, threads: int, profile: Path | None = None, *, record: bool = False) -> Any:
        """Creates ONNX Runtime's session.

        ``profile`` is a prefix of the path for its profile, None for no profiling; ``record`` makes it record the
        provider of each node.
        """
        ort = _module()
        check_available(ort, self.hint)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Workers spin between inferences, which is the default, but not for long after the last one: two sessions are
        # measured in turn, and the threads of the idle session must leave the measured cores.
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_US))
        if record:
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        try:
            session = ort.InferenceSession(str(model), options, providers=providers_of(self.hint, model))
        except _errors() as error:
            raise _explain(error, model) from None
        check_providers(session, self.hint, model.name)
        return session


class _OrtSession(Session):
    def __init__(self, session: Any) -> None:
        self._session = session
        self.inputs = tuple(_spec(value) for value in session.get_inputs())
        self.outputs = tuple(_spec(value) for value in session.get_outputs())
        self._names = [spec.name for spec in self.outputs]

    def run(self, feed: Arrays) -> dict[str, Array]:
        try:
            values = self._session.run(self._names, self._own(feed))
        except _refusals() as error:
            raise BuildFailed(f"the runtime refused an input: {first_line(error, 400)}") from None
        return {name: np.asarray(value) for name, value in zip(self._names, values, strict=True)}

    def time_ms(self, feed: Arrays) -> float:
        own = self._own(feed)
        start = time.perf_counter_ns()
        self._session.run(self._names, own)
        return (time.perf_counter_ns() - start) / 1e6

    def _own(self, feed: Arrays) -> dict[str, Array]:
        """Returns the feed without inputs of other models, which ONNX Runtime would refuse."""
        return {spec.name: feed[spec.name] for spec in self.inputs if spec.name in feed}

    def close(self) -> None:
        self._session = None
        give_back_memory()


def _module() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise DeviceUnavailable("ONNX Runtime is not installed", f"install it with: {install_command('ort')}") from None
    return onnxruntime


def _errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented,
        state.NoSuchFile, state.RuntimeException, state.EPFail, state.NoModel,
    )  # fmt: skip


def _refusals() -> tuple[type[Exception], ...]:
    return (*_errors(), ValueError, TypeError)


# Errors for an operator that the runtime does not know: in the default domain, and in another one.
_UNKNOWN_OPERATOR = ("No Op registered for", "is not a registered function/op")


def _explain(error: Exception, model: Path) -> BuildFailed | UnsupportedOp:
    text = first_line(error, 400)
    unsupported = type(error).__name__ == "NotImplemented" or any(words in text for words in _UNKNOWN_OPERATOR)
    kind = UnsupportedOp if unsupported else BuildFailed
    return kind(f"ONNX Runtime does not load {model.name}: {text}")


_TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "object",
    "bfloat16": "bfloat16",
}  # fmt: skip


def _spec(value: Any) -> TensorSpec:
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(dim if isinstance(dim, int) and dim >= 0 else None for dim in value.shape)
    return TensorSpec(value.name, _TYPES.get(kind, kind), shape)
