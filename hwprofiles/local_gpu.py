"""The device ``local-gpu``: this machine's NVIDIA GPU with the runtimes that can use it.

TensorRT's and ONNX Runtime's modules are imported in a process of their own, as the driver is asked.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

from hwprofiles import probe
from hwprofiles.core_types import best_first, type_of
from hwprofiles.cuda import asked, cuda_gpu
from hwprofiles.errors import DeviceUnavailable
from hwprofiles.profile import Profile, check_threads
from hwprofiles.trtexec import find_trtexec

_GPU_PROVIDERS = {"CUDAExecutionProvider": "onnxruntime:cuda", "TensorrtExecutionProvider": "onnxruntime:tensorrt"}

_PROGRAM = "import json; from hwprofiles.local_gpu import importable; print(json.dumps(importable()))"


def local_gpu(threads: int = 1, batch: int = 1) -> Profile:
    """This machine's NVIDIA GPU, fed by the last ``threads`` of the usable cores.

    Its first runtime is TensorRT, else ONNX Runtime with CUDA, else the tool ``trtexec``, which measures latency alone.
    Raises :class:`DeviceUnavailable` where driver, GPU or all of these are missing.
    """
    gpu = cuda_gpu()
    first, runtimes = gpu_runtimes()
    if first is None:
        raise DeviceUnavailable(
            f"no runtime for the GPU is installed ({gpu.name})", "install one with: pip install 'paretune[tensorrt]'"
        )
    cores = probe.usable_cores()
    check_threads("local-gpu", threads, len(cores), f"{len(cores)} cores are usable here")
    types = probe.core_types()
    pinned = tuple(sorted(best_first(cores, types)[:threads]))
    return Profile(
        device="local-gpu",
        runtime=first,
        runtime_version=runtimes[0][1],
        processor=gpu.name,
        instruction_sets=(f"sm_{(gpu.compute_capability or '').replace('.', '')}",),
        cores=pinned,
        memory_bytes=gpu.memory_bytes or 0,
        threads=threads,
        batch=batch,
        runtimes=runtimes,
        machine=probe.probe_machine(),
        gpu=gpu,
        core_type=type_of(pinned, types),
    )


def gpu_runtimes() -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """The runtime to compare with, and name and version of all that can use a GPU here, that one first."""
    found = _imported()
    names = [(name, found[name]) for name in ("tensorrt", "onnxruntime") if name in found]
    if not names:
        try:
            _, version = find_trtexec()
        except DeviceUnavailable:
            return None, ()
        return "trtexec", (("trtexec", version),)
    first = names[0][0]
    return (found["provider"] if first == "onnxruntime" else first), tuple(names)


@functools.cache
def _imported() -> dict[str, str]:
    """Asked once a process. A module that ends the process that imports it counts as missing."""
    answer = asked([sys.executable, "-c", _PROGRAM])
    return {} if "error" in answer else answer


def importable() -> dict[str, str]:
    """Versions of ``tensorrt``, and of ``onnxruntime`` where it has a provider for a GPU, the first of which is under
    ``provider``."""
    found: dict[str, str] = {}
    for name in ("tensorrt", "onnxruntime"):
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        if name == "onnxruntime":
            providers = [_GPU_PROVIDERS[one] for one in module.get_available_providers() if one in _GPU_PROVIDERS]
            if not providers:
                continue
            found["provider"] = "onnxruntime:cuda" if "onnxruntime:cuda" in providers else providers[0]
        found[name] = str(module.__version__)
    return found
