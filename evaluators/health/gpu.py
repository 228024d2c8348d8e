"""What a GPU's driver says of its clock, its temperature and its users while it is measured on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import psutil

_SLOWED = 0x8 | 0x20 | 0x40 | 0x80
"""Of the driver's reasons for a lower clock: slowed down by hardware, for heat (by software, by hardware), for power
brake. Idling and the usual power cap are none of them."""


@dataclass(frozen=True)
class GpuState:
    """The moment's clock of the multiprocessors, temperature, whether the GPU is slowed down, and how many processes of
    others have work on it; None where the driver does not say."""

    clock_mhz: float | None = None
    temperature_c: float | None = None
    slowed: bool | None = None
    others: int | None = None


class GpuCounters:
    """Asks NVML (``nvml`` is the module, for tests) about the GPU at a PCI bus id. Raises nothing: what is not told is
    None, which is all where ``bus_id`` is."""

    def __init__(self, bus_id: str | None, nvml: Any = None) -> None:
        self._nvml, self._handle = nvml, None
        if bus_id is None:
            return
        try:
            if nvml is None:
                import pynvml

                self._nvml = pynvml
        except ImportError:
            return
        try:
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByPciBusId(bus_id)
        except self._nvml.NVMLError:
            self._handle = None

    def state(self) -> GpuState:
        """The GPU now."""
        if self._handle is None:
            return GpuState()
        nvml = self._nvml
        reasons = self._ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons)
        return GpuState(
            clock_mhz=self._ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
            temperature_c=self._ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
            slowed=None if reasons is None else bool(int(reasons) & _SLOWED),
            others=self._others(),
        )

    def energy_mj(self) -> float | None:
        """Millijoules since the driver was loaded (Volta and later)."""
        if self._handle is None:
            return None
        return self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption)

    def _others(self) -> int | None:
        """How many processes but Paretune's own have work there; to be asked while this one has.

        Where it is not listed itself, the list is of another namespace, as in most containers, and says nothing.
        """
        try:
            users = {int(one.pid) for one in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)}
        except self._nvml.NVMLError:
            return None
        return sum(not _is_own_sandbox(pid) for pid in users - {os.getpid()}) if os.getpid() in users else None

    def _ask(self, question: Any, *more: Any) -> float | None:
        try:
            return float(question(self._handle, *more))
        except self._nvml.NVMLError:
            return None


def _is_own_sandbox(pid: int) -> bool:
    """Whether a process is a sandbox of this user's: while one measures, the quiet token holds the others back, though
    they keep their memory on the GPU."""
    try:
        process = psutil.Process(pid)
        return process.uids().real == os.getuid() and "evaluators.processes.sandbox_child" in process.cmdline()
    except psutil.Error:
        return False
