"""Asks this machine what it is."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from hwprofiles.errors import DeviceUnavailable

# The flags of /proc/cpuinfo that change which kernels a runtime picks.
_INSTRUCTION_SETS = (
    "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip


def usable_cores() -> tuple[int, ...]:
    """Ids of the cores that this process may use: its affinity, capped by the control group's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = tuple(sorted(os.sched_getaffinity(0)))
    else:
        cores = tuple(range(os.cpu_count() or 1))
    quota = _quota_cores(Path("/sys/fs/cgroup/cpu.max"))
    return cores if quota is None else cores[: max(1, quota)]


def _quota_cores(cpu_max: Path) -> int | None:
    try:
        quota, period = cpu_max.read_text().split()
        return None if quota == "max" else int(quota) // int(period)
    except (OSError, ValueError):
        return None


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor as its maker names it."""
    return _cpuinfo_field(cpuinfo, "model name") or platform.processor() or platform.machine()


def instruction_sets(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """The instruction sets, of those that matter to a runtime, that this processor has."""
    flags = (_cpuinfo_field(cpuinfo, "flags") or _cpuinfo_field(cpuinfo, "Features") or "").split()
    return tuple(name for name in _INSTRUCTION_SETS if name in flags)


def _cpuinfo_field(cpuinfo: Path, field: str) -> str | None:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.split("\t")[0].strip() == field), None)


def memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def package_version(package: str) -> str:
    """Version of an installed runtime package; raises :class:`DeviceUnavailable` where it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise DeviceUnavailable(
            f"the runtime package {package!r} is not installed", "install it with: pip install 'paretune[ort]'"
        ) from None
