"""Loads TensorRT's module and the objects of it that exist once per process.

The driver is checked first, in a separate process: without a driver, creating TensorRT's runtime ends the process.
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
from hwprofiles.installed import install_command
from hwprofiles.trtexec import OLDEST

_INSTALL = f"install it with: {install_command('tensorrt')}; on Jetson it comes with JetPack"

# NumPy's names of trt.DataType; other types cannot be inputs or outputs.
_TYPES = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8", "UINT8": "uint8", "INT32": "int32",
    "INT64": "int64", "BOOL": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class Library:
    """TensorRT and CUDA as loaded in this process."""

    trt: Any
    """The module ``tensorrt``."""
    cuda: Cuda
    gpu: Gpu
    log: Any
    """TensorRT's logger, see :func:`logger`."""
    runtime: Any
    """``trt.Runtime``, which loads engines."""
    lock: Any
    """Guards the log and builds."""

    @property
    def version(self) -> str:
        """Version of the library."""
        return str(self.trt.__version__)

    def type_name(self, kind: Any) -> str:
        """Returns NumPy's name of a ``trt.DataType``; TensorRT's name for a type that NumPy lacks."""
        name = str(kind.name)
        return _TYPES.get(name, name)


def tensorrt_module() -> Any:
    """Imports TensorRT; raises :class:`DeviceUnavailable` if it is missing, does not load, or is too old."""
    try:
        import tensorrt
    except ImportError as error:
        if error.name == "tensorrt":
            raise DeviceUnavailable("TensorRT is not installed", _INSTALL) from None
        raise DeviceUnavailable(f"TensorRT does not load: {' '.join(str(error).split())}", _INSTALL) from None
    version = str(tensorrt.__version__)
    if int(version.split(".")[0]) < OLDEST:
        raise DeviceUnavailable(f"TensorRT {version} is too old", f"install TensorRT {OLDEST} or newer")
    return tensorrt


@cache
def load_library() -> Library:
    """Loads driver, TensorRT and CUDA's bindings, in this order.

    Raises :class:`DeviceUnavailable` for the first that is missing, with what to install.
    """
    gpu = cuda_gpu()
    trt = tensorrt_module()
    cuda = load_cuda()
    log = logger(trt)
    # Registers TensorRT's own plugins, which execute some operators of ONNX.
    trt.init_libnvinfer_plugins(log, "")
    runtime = trt.Runtime(log)
    return Library(trt, cuda, gpu, log, runtime, threading.RLock())


def logger(trt: Any) -> Any:
    """Creates a logger that collects TensorRT's errors. Once per process: TensorRT keeps using the first logger.

    ``messages`` are the errors since the list was last cleared, ``text`` all of them in one line.
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
