"""Builds TensorRT engines from ONNX files, on the GPU that runs them.

Networks are strongly typed: every tensor has its type of the ONNX graph, with integers between QuantizeLinear and
DequantizeLinear, and no builder flag lowers a precision. This is an option of TensorRT 10 and the only mode of 11.
https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluators.runtimes.engine_store import EngineStore
from evaluators.runtimes.tensorrt_library import Library
from evaluators.tensors import TensorSpec
from hwprofiles import digest_of
from hwprofiles.errors import BuildFailed, CandidateError, OutOfMemory, UnsupportedOp

Shapes = Mapping[str, tuple[int, ...]]

FORMAT = 1
"""Version of how engines are built; part of every key."""

ENGINE_SUFFIXES = (".engine", ".plan", ".trt")

_UNSUPPORTED = "UNSUPPORTED_NODE"


@dataclass(frozen=True)
class EngineOptions:
    """Options of one build."""

    tf32: bool = False
    """Allow float products to be rounded to 10 bits of mantissa."""
    build: int = 0
    """Number of the build. Builds of one model may choose different kernels: only build 0 uses the timing cache."""


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a network; None stands for a dynamic dimension."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def varies(self) -> tuple[TensorSpec, ...]:
        """Inputs with a dynamic dimension."""
        return tuple(spec for spec in self.inputs if None in spec.shape)


def read_model(model: Path) -> bytes:
    """Reads an ONNX file; raises :class:`BuildFailed` for an engine, which is native code and must be built here."""
    if model.suffix.lower() in ENGINE_SUFFIXES:
        raise BuildFailed(
            f"{model.name} is a TensorRT engine, which is native code and is not loaded",
            "give the ONNX file that it was built from",
        )
    try:
        return model.read_bytes()
    except OSError as failure:
        raise BuildFailed(f"{model.name} cannot be read: {failure.strerror}") from None


class EngineBuilder:
    """Parses and builds one model; stores engines under a digest of everything that they depend on."""

    def __init__(self, library: Library, store: EngineStore, model: Path) -> None:
        self._library, self._store = library, store
        self._name = model.name
        self._content = read_model(model)
        self._sha256 = hashlib.sha256(self._content).hexdigest()
        self._parsed: tuple[Any, Any, Any] | None = None

    @cached_property
    def signature(self) -> Signature:
        """Inputs and outputs of the model; parses it if they are not stored.

        Raises :class:`UnsupportedOp` if TensorRT has no layer for a node, :class:`BuildFailed` if it is not a model.
        """
        key = digest_of({"format": FORMAT, "onnx": self._sha256, "tensorrt": self._library.version})
        stored = self._store.load("network", key)
        if stored is not None:
            return Signature(*(tuple(_spec(*row) for row in rows) for rows in json.loads(stored)))
        self._parsed = self._parse()
        _, network, _ = self._parsed
        rows = [
            [self._row(network.get_input(n)) for n in range(network.num_inputs)],
            [self._row(network.get_output(n)) for n in range(network.num_outputs)],
        ]
        self._store.save("network", key, json.dumps(rows).encode())
        return Signature(*(tuple(_spec(*row) for row in part) for part in rows))

    def key(self, options: EngineOptions, largest: Shapes) -> str:
        """Returns an engine's key: a digest of model, TensorRT's version, GPU with driver, and all options."""
        gpu = self._library.gpu
        return digest_of(
            {
                "format": FORMAT,
                "onnx": self._sha256,
                "tensorrt": self._library.version,
                "gpu": [gpu.name, gpu.compute_capability, gpu.driver],
                "options": [options.tf32, options.build],
                "largest": {name: list(shape) for name, shape in largest.items()},
            }
        )

    def timing_key(self) -> str:
        """Returns the timing cache's key: kernel times are valid for one GPU model and one version of TensorRT."""
        gpu = self._library.gpu
        return digest_of({"tensorrt": self._library.version, "gpu": [gpu.name, gpu.compute_capability]})

    def engine(self, options: EngineOptions, largest: Shapes) -> Any:
        """Loads the stored engine, or builds and stores one, which takes seconds to minutes.

        ``largest`` are the shapes of all dynamic inputs, for which kernels are chosen; smaller shapes run too. Raises
        :class:`BuildFailed`, :class:`UnsupportedOp` or :class:`OutOfMemory` with TensorRT's message.
        """
        key = self.key(options, largest)
        stored = self._store.load("engine", key)
        engine = None if stored is None else self._load_engine(stored)
        if engine is None:
            with self._library.lock:
                plan = self._build(options, largest)
            self._store.save("engine", key, plan)
            engine = self._load_engine(plan)
        if engine is None:
            raise BuildFailed(f"TensorRT does not load the engine that it built: {self._library.log.text}")
        return engine

    def _parse(self) -> tuple[Any, Any, Any]:
        """Parses the model; returns builder, network and parser, which must all outlive the build."""
        trt, log = self._library.trt, self._library.log
        with self._library.lock:
            log.messages.clear()
            builder = trt.Builder(log)
            network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED.value))
            parser = trt.OnnxParser(network, log)
            if not self._content or not parser.parse(self._content):
                raise _refusal([parser.get_error(n) for n in range(parser.num_errors)], self._name, log.text)
        for number in range(network.num_inputs):
            if network.get_input(number).is_shape_tensor:
                raise UnsupportedOp(
                    f"TensorRT takes input {network.get_input(number).name!r} of {self._name} as a shape, not as data"
                )
        return builder, network, parser

    def _build(self, options: EngineOptions, largest: Shapes) -> bytes:
        trt, log = self._library.trt, self._library.log
        signature = self.signature
        # Each network is built only once: TensorRT does not specify what a second build of it does.
        builder, network, parser = self._parsed or self._parse()
        self._parsed = None
        log.messages.clear()
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if not options.tf32:
            config.clear_flag(trt.BuilderFlag.TF32)
        if signature.varies:
            profile = builder.create_optimization_profile()
            for spec in signature.varies:
                smallest = tuple(1 if dim is None else dim for dim in spec.shape)
                profile.set_shape(spec.name, smallest, largest[spec.name], largest[spec.name])
            config.add_optimization_profile(profile)
        timing_key = self.timing_key()
        cache = (self._store.load("timing", timing_key) or b"") if options.build == 0 else b""
        config.set_timing_cache(config.create_timing_cache(cache), False)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise _build_refusal(log.text)
        if options.build == 0:
            self._keep_times(config, timing_key)
        del parser
        return bytes(plan)

    def _keep_times(self, config: Any, key: str) -> None:
        """Merges the timing cache into the stored one, which other processes may have extended."""
        cache = config.get_timing_cache()
        latest = self._store.load("timing", key)
        if latest:
            cache.combine(config.create_timing_cache(latest), False)
        self._store.save("timing", key, bytes(cache.serialize()))

    def _load_engine(self, plan: bytes) -> Any | None:
        with self._library.lock:
            self._library.log.messages.clear()
            return self._library.runtime.deserialize_cuda_engine(plan)

    def _row(self, tensor: Any) -> list[Any]:
        """Returns name, type and shape of a tensor as JSON-able values."""
        return [tensor.name, self._library.type_name(tensor.dtype), [int(dim) for dim in tensor.shape]]


def _spec(name: str, kind: str, shape: list[int]) -> TensorSpec:
    return TensorSpec(name, kind, tuple(None if dim < 0 else dim for dim in shape))


def _refusal(errors: list[Any], name: str, log: str) -> CandidateError:
    """Returns the error of a refused file; an unsupported node takes precedence."""
    for error in errors:
        if error.code().name.startswith(_UNSUPPORTED):
            return UnsupportedOp(
                f"TensorRT does not execute {error.node_operator()} (node {error.node_name()!r} of {name}): "
                f"{_line(error.desc())}"
            )
    text = _line(errors[0].desc()) if errors else log
    return BuildFailed(f"TensorRT does not read {name}: {text or 'it is no ONNX model'}")


def _build_refusal(log: str) -> CandidateError:
    if "out of memory" in log.lower() or "outofmemory" in log.lower():
        return OutOfMemory(f"TensorRT ran out of memory while it built an engine: {log}", "free the GPU's memory")
    if "could not find any implementation" in log.lower():
        return UnsupportedOp(f"TensorRT has no kernel: {log}")
    return BuildFailed(f"TensorRT built no engine: {log or 'it did not say why'}")


def _line(text: str) -> str:
    return " ".join(text.split())[:400]
