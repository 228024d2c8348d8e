"""What a session needs of CUDA: memory, a stream, copies and events. Every call's error code is looked at.

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

# After these the process can use the GPU no more; the names of cudaError_t.
_LOST = {
    "cudaErrorIllegalAddress", "cudaErrorLaunchFailure", "cudaErrorLaunchTimeout", "cudaErrorMisalignedAddress",
    "cudaErrorIllegalInstruction", "cudaErrorInvalidAddressSpace", "cudaErrorInvalidPc", "cudaErrorHardwareStackError",
    "cudaErrorAssert", "cudaErrorECCUncorrectable",
}  # fmt: skip


class GpuLost(BaseException):
    """The GPU broke this process's work off, and everything that it did there is gone.

    No error of ours and no ``Exception``: it must end the process, whose owner then starts another one and counts the
    death against the candidate.
    """


class Cuda:
    """The calls, with their errors raised: :class:`OutOfMemory` where memory is short, else :class:`BuildFailed`.

    ``api`` is the module ``cuda.bindings.runtime``. Holds no state; usable from several threads.
    """

    def __init__(self, api: Any) -> None:
        self._api = api

    def version(self) -> str:
        """Of the CUDA runtime, as ``13.0``."""
        return cuda_version(int(self._check(*self._api.cudaRuntimeGetVersion())))

    def stream(self) -> Any:
        """A new stream."""
        return self._check(*self._api.cudaStreamCreate())

    def drop_stream(self, stream: Any) -> None:
        """Ends a stream."""
        self._check(*self._api.cudaStreamDestroy(stream))

    def wait(self, stream: Any) -> None:
        """Returns when all that was put into the stream is done."""
        self._check(*self._api.cudaStreamSynchronize(stream))

    def event(self) -> Any:
        """A new event, which marks a moment in a stream."""
        return self._check(*self._api.cudaEventCreate())

    def drop_event(self, event: Any) -> None:
        """Ends an event."""
        self._check(*self._api.cudaEventDestroy(event))

    def mark(self, event: Any, stream: Any) -> None:
        """Puts an event into a stream."""
        self._check(*self._api.cudaEventRecord(event, stream))

    def ms_between(self, start: Any, end: Any) -> float:
        """Between two events that have passed, on the GPU's own clock."""
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
        """The address of new memory on the GPU."""
        return int(self._check(*self._api.cudaMalloc(size_bytes)))

    def drop_device_memory(self, address: int) -> None:
        """Frees memory on the GPU."""
        self._check(*self._api.cudaFree(address))

    def host_memory(self, size_bytes: int) -> int:
        """The address of new page-locked memory on the host, which copies do not have to stage."""
        return int(self._check(*self._api.cudaMallocHost(size_bytes)))

    def drop_host_memory(self, address: int) -> None:
        """Frees page-locked memory."""
        self._check(*self._api.cudaFreeHost(address))

    def _check(self, code: Any, *values: Any) -> Any:
        """The value of a call that succeeded."""
        errors = self._api.cudaError_t
        if code != errors.cudaSuccess:
            name = getattr(code, "name", str(code))
            if code == errors.cudaErrorMemoryAllocation:
                raise OutOfMemory("the GPU's memory is full", "use a smaller batch, or free the GPU")
            if code in (errors.cudaErrorInsufficientDriver, errors.cudaErrorNoDevice):
                raise DeviceUnavailable(f"CUDA finds no GPU that it can use: {name}", "update the GPU's driver")
            if name in _LOST:
                raise GpuLost(f"CUDA: {name}")
            raise BuildFailed(f"CUDA: {name}")
        return values[0] if values else None


class Buffer:
    """A tensor's place on the GPU with its page-locked twin on the host, which ``array`` shows."""

    def __init__(self, cuda: Cuda, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._cuda = cuda
        self.size_bytes = math.prod(shape) * dtype.itemsize
        room = max(1, self.size_bytes)  # an empty tensor has an address too
        self.device = cuda.device_memory(room)
        try:
            self.host = cuda.host_memory(room)
        except (OutOfMemory, BuildFailed):
            cuda.drop_device_memory(self.device)
            raise
        raw = memoryview((ctypes.c_char * room).from_address(self.host)).cast("B")
        self.array: NDArray[Any] = np.frombuffer(raw, dtype, math.prod(shape)).reshape(shape)

    def free(self) -> None:
        """Gives both places back; ``array`` must not be used after."""
        self._cuda.drop_device_memory(self.device)
        self._cuda.drop_host_memory(self.host)


def load_cuda() -> Cuda:
    """CUDA's runtime; raises :class:`DeviceUnavailable` where the bindings are not installed."""
    try:
        from cuda.bindings import runtime
    except ImportError:
        raise DeviceUnavailable(
            "the Python bindings of CUDA are not installed", "install them with: pip install 'paretune[tensorrt]'"
        ) from None
    return Cuda(runtime)
