"""Reads a GPU's clock, temperature, energy and users from its driver during a measurement."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import psutil

_SLOWED = 0x8 | 0x20 | 0x40 | 0x80
"""NVML's throttle reasons that count: hardware slowdown, heat (by software or hardware), power brake. Idling and the
usual power cap do not count."""


@dataclass(frozen=True)
class GpuState:
    """A GPU's state at one moment; None if the driver does not tell."""

    clock_mhz: float | None = None
    """Clock of the multiprocessors."""
    temperature_c: float | None = None
    slowed: bool | None = None
    """Whether the driver throttles the GPU."""
    other_processes: int | None = None
    """Number of processes, other than Paretune's, that use the GPU."""


class GpuCounters:
    """Asks NVML about the GPU at a PCI bus id; tests pass another module as ``nvml``.

    Raises nothing: unknown values are None, and so is everything if ``bus_id`` is None.
    """

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
        """Reads the GPU's state now."""
        if self._handle is None:
            return GpuState()
        nvml = self._nvml
        reasons = self._ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons)
        return GpuState(
            clock_mhz=self._ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
            temperature_c=self._ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
            slowed=None if reasons is None else bool(int(reasons) & _SLOWED),
            other_processes=self._other_processes(),
        )

    def energy_mj(self) -> float | None:
        """Millijoules since the driver was loaded (Volta and later GPUs); None if unknown."""
        if self._handle is None:
            return None
        return self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption)

    def _other_processes(self) -> int | None:
        """Returns the number of processes, other than Paretune's, that use the GPU; asked while this process uses it.

        If this process is not in the list, the list is of another namespace (as in most containers) and useless.
        """
        try:
            users = {int(user.pid) for user in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)}
        except self._nvml.NVMLError:
            return None
        return sum(not _is_own_sandbox(pid) for pid in users - {os.getpid()}) if os.getpid() in users else None

    def _ask(self, question: Any, *more: Any) -> float | None:
        try:
            return float(question(self._handle, *more))
        except self._nvml.NVMLError:
            return None


def _is_own_sandbox(pid: int) -> bool:
    """Returns whether a process is a sandbox of this user.

    The quiet token pauses other sandboxes during a measurement, though they keep their memory on the GPU.
    """
    try:
        process = psutil.Process(pid)
        return process.uids().real == os.getuid() and "evaluators.processes.sandbox_child" in process.cmdline()
    except psutil.Error:
        return False
