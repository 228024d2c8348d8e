"""TensorRT and CUDA as far as our code calls them, executed by ONNX Runtime on the processor.

Names and parameters are held against the published bindings by tests/evaluators/runtimes/test_tensorrt_names.py.
Objects refuse attributes that are not declared, so that a misspelt setting fails here as it would there. "GPU memory"
is memory of the process, so that wrong sizes, addresses and orders show.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import math
import time
from collections.abc import Iterator
from enum import Enum
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
from cuda.bindings import runtime as cuda_bindings
from onnx import helper

_builds = itertools.count()
calls: list[str] = []
"""What was done, in order; whoever looks clears it first."""

broken: dict[str, str] = {}
"""What fails on purpose: ``build``, ``context`` or ``run``, with what the log says of it."""


class Declared:
    """Knows its attributes; refuses others."""

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        super().__setattr__(name, value)


class NetworkDefinitionCreationFlag(Enum):
    """As in TensorRT 11; 10 has another flag before it."""

    STRONGLY_TYPED = 0


class NetworkDefinitionCreationFlag10(Enum):
    STRONGLY_TYPED = 1


class BuilderFlag(Enum):
    TF32 = 7


class ProfilingVerbosity(Enum):
    DETAILED = 2


class LayerInformationFormat(Enum):
    JSON = 1


class DataType(Enum):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8, FP8, BF16, INT64 = range(9)


class ErrorCode(Enum):
    SUCCESS, MODEL_DESERIALIZE_FAILED, UNSUPPORTED_NODE = 0, 3, 8


_TYPES = {
    "float32": DataType.FLOAT, "float16": DataType.HALF, "int8": DataType.INT8, "int32": DataType.INT32,
    "bool": DataType.BOOL, "uint8": DataType.UINT8, "bfloat16": DataType.BF16, "int64": DataType.INT64,
}  # fmt: skip


class ILogger:
    class Severity(Enum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self) -> None:
        self.ready = True

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class IProfiler:
    def __init__(self) -> None:
        self.ready = True

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise NotImplementedError


class IHostMemory:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __bytes__(self) -> bytes:
        return self._content


class ITensor:
    def __init__(self, value: onnx.ValueInfoProto) -> None:
        kind = value.type.tensor_type
        self.name = value.name
        self.dtype = _TYPES[str(helper.tensor_dtype_to_np_dtype(kind.elem_type))]
        self.shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
        self.is_shape_tensor = False


class INetworkDefinition:
    _flags: type[Enum] = NetworkDefinitionCreationFlag

    def __init__(self, flags: int) -> None:
        if flags != 1 << self._flags.STRONGLY_TYPED.value:  # type: ignore[attr-defined]
            raise ValueError("this network is not strongly typed")
        self._model = onnx.ModelProto()

    @property
    def num_inputs(self) -> int:
        return len(self._model.graph.input)

    @property
    def num_outputs(self) -> int:
        return len(self._model.graph.output)

    def get_input(self, index: int) -> ITensor:
        return ITensor(self._model.graph.input[index])

    def get_output(self, index: int) -> ITensor:
        return ITensor(self._model.graph.output[index])


class ParserError:
    def __init__(self, code: ErrorCode, desc: str, operator: str = "", name: str = "") -> None:
        self._code, self._desc, self._operator, self._name = code, desc, operator, name

    def code(self) -> ErrorCode:
        return self._code

    def desc(self) -> str:
        return self._desc

    def node_operator(self) -> str:
        return self._operator

    def node_name(self) -> str:
        return self._name


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        assert logger.ready
        self._network = network
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse(self, model: bytes) -> bool:
        calls.append("parse")
        try:
            parsed = onnx.load_from_string(model)
            onnx.checker.check_model(model)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file
            unknown = [node for node in parsed.graph.node if node.op_type in str(error)] if "parsed" in locals() else []
            for node in unknown:
                code = ErrorCode.UNSUPPORTED_NODE
                self._errors.append(ParserError(code, "Plugin not found", node.op_type, node.name))
            if not unknown:
                self._errors.append(ParserError(ErrorCode.MODEL_DESERIALIZE_FAILED, "Failed to parse the model"))
            return False
        for node in parsed.graph.node:
            if node.domain not in ("", "ai.onnx"):
                self._errors.append(
                    ParserError(ErrorCode.UNSUPPORTED_NODE, "Plugin not found", node.op_type, node.name)
                )
        self._network._model = parsed
        return not self._errors


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, Any] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        assert all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True))
        self._shapes[input] = tuple(max)


class ITimingCache:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._content)

    def combine(self, input_cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._content = b",".join(sorted({*self._content.split(b","), *input_cache._content.split(b",")} - {b""}))
        return True


class IBuilderConfig(Declared):
    profiling_verbosity: Any = None

    def __init__(self) -> None:
        self._tf32 = True
        self._profiles: list[IOptimizationProfile] = []
        self._cache: ITimingCache | None = None

    def clear_flag(self, flag: BuilderFlag) -> None:
        assert flag is BuilderFlag.TF32
        self._tf32 = False

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        calls.append(f"timing cache of {len(cache._content)} bytes")
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self._cache


class Builder:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
        calls.append("build")
        if "build" in broken:
            self._logger.log(ILogger.Severity.WARNING, "never mind")
            self._logger.log(ILogger.Severity.ERROR, broken["build"])
            return None
        varying = {
            tensor.name
            for tensor in (network.get_input(n) for n in range(network.num_inputs))
            if any(dim < 0 for dim in tensor.shape)
        }
        assert varying == {name for profile in config._profiles for name in profile._shapes}
        number = next(_builds)
        assert config._cache is not None
        config._cache._content = config._cache._content or f"times {number}".encode()
        largest = {name: shape for profile in config._profiles for name, shape in profile._shapes.items()}
        about = {"build": number, "tf32": config._tf32, "largest": largest}
        return IHostMemory(json.dumps(about).encode() + b"\n" + network._model.SerializeToString())


class ICudaEngine:
    def __init__(self, about: dict[str, Any], model: bytes) -> None:
        self._about, self._model = about, model

    def create_execution_context(self) -> IExecutionContext | None:
        return None if "context" in broken else IExecutionContext(self)

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self)


class EngineInspector(Declared):
    execution_context: Any = None

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine

    def get_engine_information(self, format: LayerInformationFormat) -> str:
        nodes = onnx.load_from_string(self._engine._model).graph.node
        shown = [{"Dimensions": [1, 8], "Format/Datatype": "Row major linear FP32"}]
        return json.dumps(
            {
                "Layers": [
                    {"Name": node.name, "LayerType": node.op_type, "Inputs": shown, "Outputs": shown} for node in nodes
                ],
                "Bindings": [],
            }
        )


class IExecutionContext(Declared):
    profiler: Any = None
    enqueue_emits_profile = True

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._session = onnxruntime.InferenceSession(engine._model, providers=["CPUExecutionProvider"])
        self._nodes = [node.name for node in onnx.load_from_string(engine._model).graph.node]
        self._shapes = {value.name: tuple(value.shape) for value in self._session.get_inputs()}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        largest = self._engine._about["largest"][name]
        self._shapes[name] = tuple(shape)
        return all(size <= room for size, room in zip(shape, largest, strict=True))

    def infer_shapes(self) -> list[str]:
        return [name for name, shape in self._shapes.items() if not all(isinstance(dim, int) for dim in shape)]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        return tuple(self._values({n: np.zeros(s, self._kinds[n]) for n, s in self._shapes.items()})[name].shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return memory > 0

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle > 0
        if "run" in broken:
            return False
        feed = {name: _seen(self._addresses[name], shape, self._kinds[name]) for name, shape in self._shapes.items()}
        for name, value in self._values(feed).items():
            ctypes.memmove(self._addresses[name], np.ascontiguousarray(value).ctypes.data, value.nbytes)
        if self.profiler is not None:
            for number, node in enumerate(self._nodes, 1):
                self.profiler.report_layer_time(node, number / 10)
        return True

    @property
    def _kinds(self) -> dict[str, np.dtype[Any]]:
        names = {"tensor(float)": "float32", "tensor(int64)": "int64"}
        return {value.name: np.dtype(names[value.type]) for value in self._session.get_inputs()}

    def _values(self, feed: dict[str, Any]) -> dict[str, Any]:
        names = [value.name for value in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, feed), strict=True))


def _seen(address: int, shape: tuple[int, ...], kind: np.dtype[Any]) -> Any:
    raw = ctypes.string_at(address, math.prod(shape) * kind.itemsize)
    return np.frombuffer(raw, kind).reshape(shape)


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        calls.append("runtime")

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        calls.append("load")
        about, _, model = serialized_engine.partition(b"\n")
        return ICudaEngine(json.loads(about), model)


def init_libnvinfer_plugins(logger: ILogger, namespace: str) -> bool:
    assert logger.ready
    return True


CLASSES = (
    NetworkDefinitionCreationFlag, BuilderFlag, ProfilingVerbosity, LayerInformationFormat, DataType, ErrorCode,
    ILogger, IProfiler, IHostMemory, ITensor, INetworkDefinition, ParserError, OnnxParser, IOptimizationProfile,
    ITimingCache, IBuilderConfig, Builder, ICudaEngine, EngineInspector, IExecutionContext, Runtime,
)  # fmt: skip


def module(version: str = "11.4.0") -> ModuleType:
    """The fake as a module, of which there is one at a time."""
    found = ModuleType("tensorrt")
    found.__version__ = version  # type: ignore[attr-defined]
    for one in CLASSES:
        setattr(found, one.__name__, one)
    found.init_libnvinfer_plugins = init_libnvinfer_plugins  # type: ignore[attr-defined]
    if version.startswith("10."):
        found.NetworkDefinitionCreationFlag = NetworkDefinitionCreationFlag10  # type: ignore[attr-defined]
    INetworkDefinition._flags = found.NetworkDefinitionCreationFlag
    return found


class FakeCuda:
    """The functions of ``cuda.bindings.runtime`` on memory of the process; ``live`` is what was not given back."""

    cudaError_t = cuda_bindings.cudaError_t
    cudaMemcpyKind = cuda_bindings.cudaMemcpyKind

    def __init__(self) -> None:
        self.live: dict[int, Any] = {}
        self.code = self.cudaError_t.cudaSuccess
        self._handles: Iterator[int] = itertools.count(1)

    def cudaRuntimeGetVersion(self) -> tuple[Any, int]:
        return self.code, 13000

    def cudaStreamCreate(self) -> tuple[Any, int]:
        return self.code, self._made(None)

    def cudaStreamDestroy(self, stream: int) -> tuple[Any]:
        return self._gone(stream)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any]:
        assert stream in self.live
        return (self.code,)

    def cudaEventCreate(self) -> tuple[Any, int]:
        return self.code, self._made([0.0])

    def cudaEventDestroy(self, event: int) -> tuple[Any]:
        return self._gone(event)

    def cudaEventRecord(self, event: int, stream: int) -> tuple[Any]:
        assert stream in self.live
        self.live[event][0] = time.perf_counter()
        return (self.code,)

    def cudaEventElapsedTime(self, start: int, end: int) -> tuple[Any, float]:
        return self.code, (self.live[end][0] - self.live[start][0]) * 1000

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: Any, stream: int) -> tuple[Any]:
        assert stream in self.live
        assert kind in (self.cudaMemcpyKind.cudaMemcpyHostToDevice, self.cudaMemcpyKind.cudaMemcpyDeviceToHost)
        assert len(self.live[dst]) >= count <= len(self.live[src])
        ctypes.memmove(dst, src, count)
        return (self.code,)

    def cudaMalloc(self, size: int) -> tuple[Any, int]:
        return self._memory(size)

    def cudaFree(self, devPtr: int) -> tuple[Any]:
        return self._gone(devPtr)

    def cudaMallocHost(self, size: int) -> tuple[Any, int]:
        return self._memory(size)

    def cudaFreeHost(self, ptr: int) -> tuple[Any]:
        return self._gone(ptr)

    def _memory(self, size: int) -> tuple[Any, int]:
        assert size > 0
        buffer = (ctypes.c_char * size)()
        address = ctypes.addressof(buffer)
        self.live[address] = buffer
        return self.code, address

    def _made(self, what: Any) -> int:
        handle = next(self._handles)
        self.live[handle] = what
        return handle

    def _gone(self, handle: int) -> tuple[Any]:
        del self.live[handle]
        return (self.code,)
