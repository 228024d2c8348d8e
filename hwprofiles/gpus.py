"""Asks NVIDIA's management library (NVML) which GPUs there are. It comes with the driver; the package ``nvidia-ml-py``
(extra ``nvml``) speaks to it. Where either is missing there are none, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Gpu:
    """A GPU: what stays until somebody changes it. What its driver does not say is None.

    ``max_mhz`` is of its multiprocessors, ``power_limit_w`` the limit in force; ``ecc`` and ``mig`` say whether error
    correction and partitioning are on.
    """

    index: int
    name: str
    memory_bytes: int | None = None
    compute_capability: str | None = None
    cores: int | None = None
    max_mhz: int | None = None
    max_memory_mhz: int | None = None
    memory_bus_bits: int | None = None
    power_limit_w: float | None = None
    ecc: bool | None = None
    mig: bool | None = None
    driver: str | None = None
    cuda: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Gpu:
        """The inverse of :meth:`to_dict`."""
        return cls(**data)


@dataclass(frozen=True)
class GpuReport:
    """The GPUs found, and where there are none because nobody could be asked, why."""

    gpus: tuple[Gpu, ...]
    reason: str | None = None


def find_gpus() -> GpuReport:
    """The GPUs of this machine. Never raises: a machine without driver or library has none."""
    try:
        import pynvml
    except ImportError:
        return GpuReport((), "not asked: pip install 'paretune[nvml]'")
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

    def asked(question: Callable[..., _Value], *more: Any) -> _Value | None:
        """The answer, None where this GPU or driver gives none."""
        try:
            return question(handle, *more)
        except nvml.NVMLError:
            return None

    def of_system(question: Callable[[], _Value]) -> _Value | None:
        try:
            return question()
        except nvml.NVMLError:
            return None

    memory = asked(nvml.nvmlDeviceGetMemoryInfo)
    capability = asked(nvml.nvmlDeviceGetCudaComputeCapability)
    limit_mw = asked(nvml.nvmlDeviceGetEnforcedPowerLimit)
    ecc, mig = asked(nvml.nvmlDeviceGetEccMode), asked(nvml.nvmlDeviceGetMigMode)
    cuda = of_system(nvml.nvmlSystemGetCudaDriverVersion)
    return Gpu(
        index=index,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_bytes=None if memory is None else int(memory.total),
        compute_capability=None if capability is None else ".".join(map(str, capability)),
        cores=asked(nvml.nvmlDeviceGetNumGpuCores),
        max_mhz=asked(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
        max_memory_mhz=asked(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_MEM),
        memory_bus_bits=asked(nvml.nvmlDeviceGetMemoryBusWidth),
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
        ecc=None if ecc is None else bool(ecc[0]),
        mig=None if mig is None else bool(mig[0]),
        driver=_text(of_system(nvml.nvmlSystemGetDriverVersion)) or None,
        cuda=None if cuda is None else cuda_version(cuda),
    )


def cuda_version(number: int) -> str:
    """A version as CUDA counts it, in words.

    >>> cuda_version(13020)
    '13.2'
    """
    return f"{number // 1000}.{number % 1000 // 10}"


def _text(value: Any) -> str:
    """Older bindings answer in bytes."""
    return value.decode() if isinstance(value, bytes) else str(value or "")
