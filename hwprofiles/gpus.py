"""Lists GPUs with NVIDIA's management library (NVML).

NVML comes with the driver; the package ``nvidia-ml-py`` (extra ``nvml``) is its binding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from hwprofiles.installed import install_command

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Gpu:
    """A GPU's fixed properties and settings; None if the driver does not tell."""

    index: int
    name: str
    memory_bytes: int | None = None
    compute_capability: str | None = None
    cores: int | None = None
    max_mhz: int | None = None
    """Highest clock of the multiprocessors."""
    max_memory_mhz: int | None = None
    memory_bus_bits: int | None = None
    power_limit_w: float | None = None
    """The limit in force."""
    ecc: bool | None = None
    """Whether error correction is on."""
    mig: bool | None = None
    """Whether partitioning (multi-instance GPU) is on."""
    driver: str | None = None
    cuda: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Gpu:
        """Returns the inverse of :meth:`to_dict`."""
        return cls(**data)


@dataclass(frozen=True)
class GpuReport:
    """The GPUs of this machine."""

    gpus: tuple[Gpu, ...]
    reason: str | None = None
    """Why NVML could not be asked; None if it was."""


def find_gpus() -> GpuReport:
    """Lists the GPUs of this machine. Never raises: without driver or library the list is empty."""
    try:
        import pynvml
    except ImportError:
        return GpuReport((), f"not asked: {install_command('nvml')}")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return GpuReport((), f"NVML: {error}")
    try:
        count = pynvml.nvmlDeviceGetCount()
        return GpuReport(tuple(_gpu(pynvml, index) for index in range(count)))
    except pynvml.NVMLError as error:
        return GpuReport((), f"NVML: {error}")
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)

    def ask(question: Callable[..., _Value], *more: Any) -> _Value | None:
        """Returns the answer, None if this GPU or driver does not support the question."""
        try:
            return question(handle, *more)
        except nvml.NVMLError:
            return None

    def of_system(question: Callable[[], _Value]) -> _Value | None:
        try:
            return question()
        except nvml.NVMLError:
            return None

    memory = ask(nvml.nvmlDeviceGetMemoryInfo)
    capability = ask(nvml.nvmlDeviceGetCudaComputeCapability)
    limit_mw = ask(nvml.nvmlDeviceGetEnforcedPowerLimit)
    ecc, mig = ask(nvml.nvmlDeviceGetEccMode), ask(nvml.nvmlDeviceGetMigMode)
    cuda = of_system(nvml.nvmlSystemGetCudaDriverVersion)
    return Gpu(
        index=index,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_bytes=None if memory is None else int(memory.total),
        compute_capability=None if capability is None else ".".join(map(str, capability)),
        cores=ask(nvml.nvmlDeviceGetNumGpuCores),
        max_mhz=ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
        max_memory_mhz=ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_MEM),
        memory_bus_bits=ask(nvml.nvmlDeviceGetMemoryBusWidth),
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
        ecc=None if ecc is None else bool(ecc[0]),
        mig=None if mig is None else bool(mig[0]),
        driver=_text(of_system(nvml.nvmlSystemGetDriverVersion)) or None,
        cuda=None if cuda is None else cuda_version(cuda),
    )


def cuda_version(number: int) -> str:
    """CUDA's version number as text.

    >>> cuda_version(13020)
    '13.2'
    """
    return f"{number // 1000}.{number % 1000 // 10}"


def _text(value: Any) -> str:
    """NVML's text: older bindings return bytes."""
    return value.decode() if isinstance(value, bytes) else str(value or "")
