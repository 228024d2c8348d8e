"""Asks the driver about this machine's NVIDIA GPU.

Runs in a child process: a half-installed driver can crash the process that loads it, and creating TensorRT's runtime
without a GPU does.
"""

from __future__ import annotations

import ctypes
import functools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwprofiles.errors import DeviceUnavailable
from hwprofiles.gpus import Gpu, cuda_version, find_gpus

LIBRARY = "libcuda.so.1"
PATIENCE_S = 60.0

_PROGRAM = "import json; from hwprofiles.cuda import describe_gpu; print(json.dumps(describe_gpu()))"

_NO_DRIVER = "install the NVIDIA driver, or use another device: --device local-cpu"

# CUdevice_attribute of the driver's interface.
_MAJOR, _MINOR = 75, 76


def cuda_gpu() -> Gpu:
    """Returns the first GPU that CUDA shows this process; ``CUDA_VISIBLE_DEVICES`` selects another one.

    On a machine with a single GPU, NVML's details are added. Raises :class:`DeviceUnavailable` without a GPU.
    """
    answer = _answer()
    if "error" in answer:
        raise DeviceUnavailable(answer["error"], answer["hint"])
    answer = {key: value for key, value in answer.items() if key != "bus_id"}
    listed = find_gpus().gpus
    if len(listed) == 1 and listed[0].name == answer["name"]:
        return replace(listed[0], **answer)
    return Gpu(index=0, **answer)


def cuda_bus_id() -> str | None:
    """PCI bus id of that GPU, None if unknown. Needed for NVML, which numbers GPUs in another order than CUDA.

    It is no part of a profile: it may change with the next start of the machine.
    """
    bus_id: str | None = _answer().get("bus_id")
    return bus_id


@functools.cache
def _answer() -> dict[str, Any]:
    """Returns the child's answer; asked once per process, since driver and GPU do not change meanwhile."""
    return run_probe([sys.executable, "-c", _PROGRAM])


def run_probe(command: list[str]) -> dict[str, Any]:
    """Runs a probe, for at most :data:`PATIENCE_S`; returns the JSON that it prints, or ``error`` and ``hint``."""
    hint = "check with nvidia-smi; after a driver update restart the machine"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"the CUDA driver did not answer within {PATIENCE_S:g} s", "hint": hint}
    if done.returncode:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        return {"error": f"the process that asked the CUDA driver ended with {how}", "hint": hint}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def describe_gpu(load: Callable[[str], Any] = ctypes.CDLL, versions: tuple[Path, ...] | None = None) -> dict[str, Any]:
    """Asks the driver's library for the fields of a :class:`Gpu` and its ``bus_id``; else ``error`` and ``hint``.

    Functions of the CUDA driver API: https://docs.nvidia.com/cuda/cuda-driver-api/
    """
    try:
        driver = load(LIBRARY)
    except OSError:
        return {"error": f"no NVIDIA driver is installed here: {LIBRARY} is missing", "hint": _NO_DRIVER}
    if code := driver.cuInit(0):
        return {"error": f"the CUDA driver does not start: {_error_name(driver, code)}", "hint": _NO_DRIVER}
    count = ctypes.c_int()
    if driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return {"error": "the CUDA driver shows no GPU", "hint": "check CUDA_VISIBLE_DEVICES and nvidia-smi"}
    device, major, minor, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    for code in (
        driver.cuDeviceGet(ctypes.byref(device), 0),
        driver.cuDeviceGetName(name, len(name), device),
        driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
        driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device),
        driver.cuDriverGetVersion(ctypes.byref(version)),
    ):
        if code:
            return {"error": f"the CUDA driver describes no GPU: {_error_name(driver, code)}", "hint": _NO_DRIVER}
    bus_id = ctypes.create_string_buffer(32)
    code = driver.cuDeviceGetPCIBusId(bus_id, len(bus_id), device)
    cuda = cuda_version(version.value)
    return {
        "name": name.value.decode(),
        "compute_capability": f"{major.value}.{minor.value}",
        "memory_bytes": memory.value,
        "driver": _driver_version(_VERSIONS if versions is None else versions) or f"CUDA {cuda}",
        "cuda": cuda,
        "bus_id": None if code else bus_id.value.decode() or None,
    }


def _error_name(driver: Any, code: int) -> str:
    text = ctypes.c_char_p()
    driver.cuGetErrorName(code, ctypes.byref(text))
    return text.value.decode() if text.value else f"error {code}"


# Files with the kernel module's version: on servers and desktops, and on Jetson.
_VERSIONS = (Path("/sys/module/nvidia/version"), Path("/etc/nv_tegra_release"))


def _driver_version(paths: tuple[Path, ...]) -> str:
    for path in paths:
        try:
            return path.read_text().strip().splitlines()[0].lstrip("# ")
        except (OSError, IndexError):
            continue
    return ""
