"""TensorRT's module, and the objects of it that a process has one of.

The driver is looked for first, in a process of its own: where there is none, creating TensorRT's runtime ends the
process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

from evaluators.runtimes.cuda import Cuda, load_cuda
from hwprofiles.cuda import cuda_gpu
from hwprofiles.errors import DeviceUnavailable
from hwprofiles.gpus import Gpu
from hwprofiles.trtexec import OLDEST

_INSTALL = "install it with: pip install 'paretune[tensorrt]'; on Jetson it comes with JetPack"

# The names of trt.DataType in NumPy's words; what is not here cannot be an input or output.
_TYPES = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8", "UINT8": "uint8", "INT32": "int32",
    "INT64": "int64", "BOOL": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class Library:
    """``trt`` is the module, ``log`` its logger, ``runtime`` its engine loader; ``lock`` guards the log and builds."""

    trt: Any
    cuda: Cuda
    gpu: Gpu
    log: Any
    runtime: Any
    lock: Any

    @property
    def version(self) -> str:
        """Of the library."""
        return str(self.trt.__version__)

    def type_name(self, kind: Any) -> str:
        """NumPy's name of a ``trt.DataType``, TensorRT's own name for a type that NumPy lacks."""
        name = str(kind.name)
        return _TYPES.get(name, name)


def tensorrt_module() -> Any:
    """The module; raises :class:`DeviceUnavailable` where it is missing, does not load, or is too old."""
    try:
        import tensorrt
    except ImportError as error:
        missing = error.name == "tensorrt"
        said = "TensorRT is not installed" if missing else f"TensorRT does not load: {' '.join(str(error).split())}"
        raise DeviceUnavailable(said, _INSTALL) from None
    version = str(tensorrt.__version__)
    if int(version.split(".")[0]) < OLDEST:
        raise DeviceUnavailable(f"TensorRT {version} is too old", f"install TensorRT {OLDEST} or newer")
    return tensorrt


@cache
def load_library() -> Library:
    """Driver, TensorRT and CUDA's bindings, looked for in this order; raises :class:`DeviceUnavailable` for the first
    that is missing, naming what to install."""
    gpu = cuda_gpu()
    trt = tensorrt_module()
    cuda = load_cuda()
    log = logger(trt)
    # TensorRT executes some operators of ONNX by plugins of its own, which it does not know before.
    trt.init_libnvinfer_plugins(log, "")
    runtime = trt.Runtime(log)
    return Library(trt, cuda, gpu, log, runtime, threading.RLock())


def logger(trt: Any) -> Any:
    """TensorRT's messages kept instead of printed. One a process: TensorRT goes on using the first that it was given.

    ``messages`` are the errors since somebody cleared them, ``text`` all of them in one line.
    """

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.messages.append(" ".join(msg.split())[:300])

        @property
        def text(self) -> str:
            return "; ".join(self.messages)[:600]

    return Log()
