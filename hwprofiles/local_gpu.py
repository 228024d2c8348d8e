"""The device ``local-gpu``: this machine's NVIDIA GPU with the runtimes that can use it.

TensorRT and ONNX Runtime are imported in a child process, for the reasons given in :mod:`hwprofiles.cuda`.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

from hwprofiles import probe
from hwprofiles.core_types import best_first, type_of
from hwprofiles.cuda import cuda_gpu, run_probe
from hwprofiles.errors import DeviceUnavailable
from hwprofiles.installed import install_command
from hwprofiles.profile import Profile, check_threads
from hwprofiles.trtexec import find_trtexec

_GPU_PROVIDERS = {"CUDAExecutionProvider": "onnxruntime:cuda", "TensorrtExecutionProvider": "onnxruntime:tensorrt"}

_PROGRAM = "import json; from hwprofiles.local_gpu import import_runtimes; print(json.dumps(import_runtimes()))"


def local_gpu(threads: int = 1, batch: int = 1) -> Profile:
    """Probes this machine's NVIDIA GPU; ``threads`` of the usable cores, the last ones, feed it.

    Its first runtime is TensorRT, else ONNX Runtime with CUDA, else the tool ``trtexec``, which measures only latency.
    Raises :class:`DeviceUnavailable` without a driver, a GPU or any of these runtimes.
    """
    gpu = cuda_gpu()
    first, runtimes = gpu_runtimes()
    if first is None:
        raise DeviceUnavailable(
            f"no runtime for the GPU is installed ({gpu.name})", f"install one with: {install_command('tensorrt')}"
        )
    cores = probe.usable_cores()
    check_threads("local-gpu", threads, len(cores))
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
    """Returns the baseline's runtime, and name and version of all runtimes that can use a GPU here, that one first."""
    versions = _importable_runtimes()
    names = [(name, versions[name]) for name in ("tensorrt", "onnxruntime") if name in versions]
    if not names:
        try:
            _, version = find_trtexec()
        except DeviceUnavailable:
            return None, ()
        return "trtexec", (("trtexec", version),)
    first = names[0][0]
    return (versions["provider"] if first == "onnxruntime" else first), tuple(names)


@functools.cache
def _importable_runtimes() -> dict[str, str]:
    """Returns the answer of :func:`import_runtimes` in a child, once per process; empty if an import crashes it."""
    answer = run_probe([sys.executable, "-c", _PROGRAM])
    return {} if "error" in answer else answer


def import_runtimes() -> dict[str, str]:
    """Imports ``tensorrt``, and ``onnxruntime`` if it has a GPU provider; returns their versions by name.

    ``provider`` holds the first GPU provider of ONNX Runtime, CUDA preferred.
    """
    versions: dict[str, str] = {}
    for name in ("tensorrt", "onnxruntime"):
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        if name == "onnxruntime":
            available = module.get_available_providers()
            providers = [_GPU_PROVIDERS[provider] for provider in available if provider in _GPU_PROVIDERS]
            if not providers:
                continue
            versions["provider"] = "onnxruntime:cuda" if "onnxruntime:cuda" in providers else providers[0]
        versions[name] = str(module.__version__)
    return versions
