"""A GPU where there is none: the driver's answer, CUDA and TensorRT replaced by :mod:`fake_tensorrt`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import fake_tensorrt
import pytest

from evaluators.runtimes import onnxruntime_providers, tensorrt_library, trtexec
from evaluators.runtimes.cuda import Cuda
from hwprofiles.gpus import Gpu

GPU = Gpu(
    index=0, name="NVIDIA Example", memory_bytes=8_000_000_000, compute_capability="8.7", driver="580.1", cuda="13.0"
)


@contextmanager
def stand_in_gpu(
    monkeypatch: pytest.MonkeyPatch, version: str = "11.4.0", gpu: Gpu = GPU
) -> Iterator[fake_tensorrt.FakeCuda]:
    """All that our code looks for; memory that was not given back at the end is an error."""
    cuda = fake_tensorrt.FakeCuda()
    fake_tensorrt.calls.clear()
    fake_tensorrt.broken.clear()
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt.module(version))
    for module in (tensorrt_library, onnxruntime_providers, trtexec):
        monkeypatch.setattr(module, "cuda_gpu", lambda: gpu)
    monkeypatch.setattr(tensorrt_library, "load_cuda", lambda: Cuda(cuda))
    tensorrt_library.load_library.cache_clear()
    try:
        yield cuda
    finally:
        tensorrt_library.load_library.cache_clear()
        fake_tensorrt.broken.clear()
    assert not cuda.live, "memory, streams or events were not given back"
