"""Builds TensorRT engines from ONNX files, on the GPU that they are for.

Networks are strongly typed: every tensor has the type that the ONNX graph gives it, integers where there are
QuantizeLinear and DequantizeLinear, and no builder flag lowers a precision. TensorRT 10 can be told so; 11 knows
nothing else. https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/
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
"""Part of every key; raised when engines are built otherwise."""

ENGINE_SUFFIXES = (".engine", ".plan", ".trt")

_UNSUPPORTED = "UNSUPPORTED_NODE"


@dataclass(frozen=True)
class EngineOptions:
    """``tf32`` lets float products be rounded to 10 bits of mantissa; ``build`` numbers independent builds of one
    model, which may choose other kernels: the timing cache serves the first only."""

    tf32: bool = False
    build: int = 0


@dataclass(frozen=True)
class Signature:
    """What a network takes and gives; None stands for a dimension that varies."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def varies(self) -> tuple[TensorSpec, ...]:
        """The inputs with a dimension that varies."""
        return tuple(spec for spec in self.inputs if None in spec.shape)


def read_model(model: Path) -> bytes:
    """An ONNX file's bytes. Refuses engines, which are native code: they are only ever built here."""
    if model.suffix.lower() in ENGINE_SUFFIXES:
        raise BuildFailed(
            f"{model.name} is a TensorRT engine, which is native code and is not loaded",
            "give the ONNX file that it was built from",
        )
    try:
        return model.read_bytes()
    except OSError as unread:
        raise BuildFailed(f"{model.name} cannot be read: {unread.strerror}") from None


class EngineBuilder:
    """Parses and builds one model, and keeps what came of it in ``store`` under digests of all that it depends on."""

    def __init__(self, library: Library, store: EngineStore, model: Path) -> None:
        self._library, self._store = library, store
        self._name = model.name
        self._content = read_model(model)
        self._sha256 = hashlib.sha256(self._content).hexdigest()
        self._parsed: tuple[Any, Any, Any] | None = None

    @cached_property
    def signature(self) -> Signature:
        """Inputs and outputs. Raises :class:`UnsupportedOp` where TensorRT has no layer for a node,
        :class:`BuildFailed` for what is no model."""
        key = digest_of({"format": FORMAT, "onnx": self._sha256, "tensorrt": self._library.version})
        kept = self._store.load("network", key)
        if kept is not None:
            return Signature(*(tuple(_spec(*row) for row in rows) for rows in json.loads(kept)))
        self._parsed = self._parse()
        _, network, _ = self._parsed
        rows = [
            [self._row(network.get_input(n)) for n in range(network.num_inputs)],
            [self._row(network.get_output(n)) for n in range(network.num_outputs)],
        ]
        self._store.save("network", key, json.dumps(rows).encode())
        return Signature(*(tuple(_spec(*row) for row in part) for part in rows))

    def key(self, options: EngineOptions, largest: Shapes) -> str:
        """What an engine is kept under: the model, TensorRT's version, the GPU with its driver, and all options."""
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
        """What the timing cache is kept under: kernels' times hold for one GPU model and one version of TensorRT."""
        gpu = self._library.gpu
        return digest_of({"tensorrt": self._library.version, "gpu": [gpu.name, gpu.compute_capability]})

    def engine(self, options: EngineOptions, largest: Shapes) -> Any:
        """An engine that is ready to run: the one that was built here before, else a new one, which is then kept.

        ``largest`` are the shapes of all inputs that vary, for which kernels are chosen; smaller ones run too. Building
        takes seconds to minutes. Raises :class:`BuildFailed`, :class:`UnsupportedOp` or :class:`OutOfMemory` with what
        TensorRT said.
        """
        key = self.key(options, largest)
        kept = self._store.load("engine", key)
        engine = None if kept is None else self._load_engine(kept)
        if engine is None:
            with self._library.lock:
                plan = self._build(options, largest)
            self._store.save("engine", key, plan)
            engine = self._load_engine(plan)
        if engine is None:
            raise BuildFailed(f"TensorRT does not load the engine that it built: {self._library.log.text}")
        return engine

    def _parse(self) -> tuple[Any, Any, Any]:
        """Builder, network and parser; all three must outlive the build."""
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
        # A network is built from once: TensorRT does not say what a second build would find in it.
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
        known = (self._store.load("timing", timing_key) or b"") if options.build == 0 else b""
        config.set_timing_cache(config.create_timing_cache(known), False)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise _build_refusal(log.text)
        if options.build == 0:
            self._keep_times(config, timing_key)
        del parser
        return bytes(plan)

    def _keep_times(self, config: Any, key: str) -> None:
        """Saves the timing cache with what others have added to it since."""
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
        """Name, type and shape as JSON holds them."""
        return [tensor.name, self._library.type_name(tensor.dtype), [int(dim) for dim in tensor.shape]]


def _spec(name: str, kind: str, shape: list[int]) -> TensorSpec:
    return TensorSpec(name, kind, tuple(None if dim < 0 else dim for dim in shape))


def _refusal(errors: list[Any], name: str, said: str) -> CandidateError:
    """Why the parser refused a file; a node that has no layer before all else."""
    for error in errors:
        if error.code().name.startswith(_UNSUPPORTED):
            return UnsupportedOp(
                f"TensorRT does not execute {error.node_operator()} (node {error.node_name()!r} of {name}): "
                f"{_line(error.desc())}"
            )
    text = _line(errors[0].desc()) if errors else said
    return BuildFailed(f"TensorRT does not read {name}: {text or 'it is no ONNX model'}")


def _build_refusal(said: str) -> CandidateError:
    if "out of memory" in said.lower() or "outofmemory" in said.lower():
        return OutOfMemory(f"TensorRT ran out of memory while it built an engine: {said}", "free the GPU's memory")
    if "could not find any implementation" in said.lower():
        return UnsupportedOp(f"TensorRT has no kernel: {said}")
    return BuildFailed(f"TensorRT built no engine: {said or 'it did not say why'}")


def _line(text: str) -> str:
    return " ".join(text.split())[:400]
