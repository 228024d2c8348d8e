"""CUDA calls of a session: memory, streams, copies and events. The error code of every call is checked.

Functions of the CUDA runtime API through the package ``cuda-bindings``:
https://nvidia.github.io/cuda-python/cuda-bindings/latest/module/runtime.html
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwprofiles.errors import BuildFailed, DeviceUnavailable, OutOfMemory
from hwprofiles.gpus import cuda_version
from hwprofiles.installed import install_command

# Names of cudaError_t after which the process cannot use the GPU any more.
_FATAL = {
    "cudaErrorIllegalAddress", "cudaErrorLaunchFailure", "cudaErrorLaunchTimeout", "cudaErrorMisalignedAddress",
    "cudaErrorIllegalInstruction", "cudaErrorInvalidAddressSpace", "cudaErrorInvalidPc", "cudaErrorHardwareStackError",
    "cudaErrorAssert", "cudaErrorECCUncorrectable",
}  # fmt: skip


class GpuLost(BaseException):
    """The GPU aborted this process's work; its state on the GPU is lost.

    No ``Exception``, because it must end the process: its owner then starts another one and counts the crash against
    the candidate.
    """


class Cuda:
    """Calls of CUDA that raise errors: :class:`OutOfMemory` if the GPU's memory is full, else :class:`BuildFailed`.

    ``api`` is the module ``cuda.bindings.runtime``. Has no state; usable from several threads.
    """

    def __init__(self, api: Any) -> None:
        self._api = api

    def version(self) -> str:
        """Returns the version of the CUDA runtime, such as ``13.0``."""
        return cuda_version(int(self._check(*self._api.cudaRuntimeGetVersion())))

    def stream(self) -> Any:
        """Creates a stream."""
        return self._check(*self._api.cudaStreamCreate())

    def drop_stream(self, stream: Any) -> None:
        """Destroys a stream."""
        self._check(*self._api.cudaStreamDestroy(stream))

    def wait(self, stream: Any) -> None:
        """Waits until all work in the stream is done."""
        self._check(*self._api.cudaStreamSynchronize(stream))

    def event(self) -> Any:
        """Creates an event, which marks a moment in a stream."""
        return self._check(*self._api.cudaEventCreate())

    def drop_event(self, event: Any) -> None:
        """Destroys an event."""
        self._check(*self._api.cudaEventDestroy(event))

    def mark(self, event: Any, stream: Any) -> None:
        """Records an event in a stream."""
        self._check(*self._api.cudaEventRecord(event, stream))

    def ms_between(self, start: Any, end: Any) -> float:
        """Returns the time between two past events, on the GPU's clock."""
        return float(self._check(*self._api.cudaEventElapsedTime(start, end)))

    def to_device(self, target: int, source: int, size_bytes: int, stream: Any) -> None:
        """Copies from the host, in the stream's order."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._check(*self._api.cudaMemcpyAsync(target, source, size_bytes, kind, stream))

    def to_host(self, target: int, source: int, size_bytes: int, stream: Any) -> None:
        """Copies to the host, in the stream's order."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._check(*self._api.cudaMemcpyAsync(target, source, size_bytes, kind, stream))

    def device_memory(self, size_bytes: int) -> int:
        """Allocates memory on the GPU and returns its address."""
        return int(self._check(*self._api.cudaMalloc(size_bytes)))

    def drop_device_memory(self, address: int) -> None:
        """Frees memory on the GPU."""
        self._check(*self._api.cudaFree(address))

    def host_memory(self, size_bytes: int) -> int:
        """Allocates page-locked memory on the host, which speeds up copies, and returns its address."""
        return int(self._check(*self._api.cudaMallocHost(size_bytes)))

    def drop_host_memory(self, address: int) -> None:
        """Frees page-locked memory."""
        self._check(*self._api.cudaFreeHost(address))

    def _check(self, code: Any, *values: Any) -> Any:
        """Returns the value of a call; raises its error if it failed."""
        errors = self._api.cudaError_t
        if code != errors.cudaSuccess:
            name = getattr(code, "name", str(code))
            if code == errors.cudaErrorMemoryAllocation:
                raise OutOfMemory("the GPU's memory is full", "use a smaller batch, or free the GPU")
            if code in (errors.cudaErrorInsufficientDriver, errors.cudaErrorNoDevice):
                raise DeviceUnavailable(f"CUDA finds no GPU that it can use: {name}", "update the GPU's driver")
            if name in _FATAL:
                raise GpuLost(f"CUDA: {name}")
            raise BuildFailed(f"CUDA: {name}")
        return values[0] if values else None


class Buffer:
    """Memory of one tensor on the GPU and, page-locked, on the host; ``array`` is a view of the latter."""

    def __init__(self, cuda: Cuda, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._cuda = cuda
        self.size_bytes = math.prod(shape) * dtype.itemsize
        size = max(1, self.size_bytes)  # an empty tensor has an address too
        self.device = cuda.device_memory(size)
        try:
            self.host = cuda.host_memory(size)
        except (OutOfMemory, BuildFailed):
            cuda.drop_device_memory(self.device)
            raise
        raw = memoryview((ctypes.c_char * size).from_address(self.host)).cast("B")
        self.array: NDArray[Any] = np.frombuffer(raw, dtype, math.prod(shape)).reshape(shape)

    def free(self) -> None:
        """Frees both; ``array`` must not be used afterwards."""
        self._cuda.drop_device_memory(self.device)
        self._cuda.drop_host_memory(self.host)


def load_cuda() -> Cuda:
    """Loads CUDA's runtime; raises :class:`DeviceUnavailable` if the bindings are not installed."""
    try:
        from cuda.bindings import runtime
    except ImportError:
        raise DeviceUnavailable(
            "the Python bindings of CUDA are not installed", f"install them with: {install_command('tensorrt')}"
        ) from None
    return Cuda(runtime)
