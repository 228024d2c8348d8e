"""What a GPU's driver says of its clock and temperature while it is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_SLOWED = 0x8 | 0x20 | 0x40 | 0x80
"""Of the driver's reasons for a lower clock: slowed down by hardware, for heat (by software, by hardware), for power
brake. Idling and the usual power cap are none of them."""


@dataclass(frozen=True)
class GpuState:
    """The moment's clock of the multiprocessors, temperature, and whether the GPU is slowed down; None where the driver
    does not say."""

    clock_mhz: float | None = None
    temperature_c: float | None = None
    slowed: bool | None = None


class GpuCounters:
    """Asks NVML (``nvml`` is the module, for tests) about one GPU. Raises nothing: what is not told is None."""

    def __init__(self, index: int, nvml: Any = None) -> None:
        self._nvml, self._handle = nvml, None
        try:
            if nvml is None:
                import pynvml

                self._nvml = pynvml
        except ImportError:
            return
        try:
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
        except self._nvml.NVMLError:
            self._handle = None

    def state(self) -> GpuState:
        """The GPU now."""
        if self._handle is None:
            return GpuState()
        nvml = self._nvml
        reasons = self._asked(nvml.nvmlDeviceGetCurrentClocksThrottleReasons)
        return GpuState(
            clock_mhz=self._asked(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
            temperature_c=self._asked(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
            slowed=None if reasons is None else bool(int(reasons) & _SLOWED),
        )

    def energy_mj(self) -> float | None:
        """Millijoules since the driver was loaded (Volta and later)."""
        if self._handle is None:
            return None
        return self._asked(self._nvml.nvmlDeviceGetTotalEnergyConsumption)

    def _asked(self, question: Any, *more: Any) -> float | None:
        try:
            return float(question(self._handle, *more))
        except self._nvml.NVMLError:
            return None
