"""GPUs as NVML describes them; asked through a stand-in whose names are held against the real bindings."""

from __future__ import annotations

import ast
import inspect
import sys
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from hwprofiles import gpus
from hwprofiles.gpus import Gpu, find_gpus


class NvmlError(Exception):
    """What the stand-in raises."""


class Nvml(SimpleNamespace):
    """A driver with two GPUs, of which the second says as little as it may; remembers whether it was left."""

    NVMLError = NvmlError
    NVML_CLOCK_SM, NVML_CLOCK_MEM = pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM
    left = 0

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None:
        self.left += 1

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return ("NVIDIA H100 80GB HBM3", b"Tesla T4")[handle]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=85_520_809_984, used=1, free=2)

    def nvmlDeviceGetMaxClockInfo(self, handle: int, kind: int) -> int:
        return {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}[kind]

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.95.05"

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 13_000

    def _first(self, handle: int, value: Any) -> Any:
        if handle:
            raise NvmlError("Not Supported")
        return value

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:
        return self._first(handle, (9, 0))

    def nvmlDeviceGetNumGpuCores(self, handle: int) -> int:
        return self._first(handle, 16896)

    def nvmlDeviceGetMemoryBusWidth(self, handle: int) -> int:
        return self._first(handle, 5120)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return self._first(handle, 700_000)

    def nvmlDeviceGetEccMode(self, handle: int) -> list[int]:
        return self._first(handle, [1, 1])

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:
        return self._first(handle, [0, 0])


H100 = Gpu(
    index=0, name="NVIDIA H100 80GB HBM3", memory_bytes=85_520_809_984, compute_capability="9.0", cores=16896,
    max_mhz=1980, max_memory_mhz=2619, memory_bus_bits=5120, power_limit_w=700.0, ecc=True, mig=False,
    driver="580.95.05", cuda="13.0",
)  # fmt: skip


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    found = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", found)  # type: ignore[arg-type]
    return found


def test_all_that_is_said(nvml: Nvml) -> None:
    report = find_gpus()
    assert report.gpus[0] == H100
    assert report.reason is None
    assert nvml.left == 1


def test_what_is_not_said_is_none(nvml: Nvml) -> None:
    second = find_gpus().gpus[1]
    assert (second.name, second.index) == ("Tesla T4", 1)
    assert (second.compute_capability, second.ecc, second.mig, second.power_limit_w) == (None, None, None, None)


def test_a_round_trip() -> None:
    assert Gpu.from_dict(H100.to_dict()) == H100


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    report = find_gpus()
    assert report.gpus == ()
    assert "paretune[nvml]" in (report.reason or "")


def test_without_a_driver(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Nvml) -> None:
        raise NvmlError("NVML Shared Library Not Found")

    monkeypatch.setattr(Nvml, "nvmlInit", missing)
    assert find_gpus() == gpus.GpuReport((), "NVML: NVML Shared Library Not Found")
    assert nvml.left == 0


def test_a_driver_that_gives_up(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: Nvml, handle: int) -> str:
        raise NvmlError("GPU is lost")

    monkeypatch.setattr(Nvml, "nvmlDeviceGetName", lost)
    assert find_gpus() == gpus.GpuReport((), "NVML: GPU is lost")
    assert nvml.left == 1


def test_this_machine_is_asked_without_harm() -> None:
    report = find_gpus()
    assert report.gpus or report.reason


def test_no_name_is_invented() -> None:
    """Every name that is used of NVML is one of the published bindings, and of the stand-in."""
    tree = ast.parse(inspect.getsource(gpus))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = {name for name in used if name.startswith(("nvml", "NVML"))}
    assert len(names) > 10
    assert {name for name in names if not hasattr(pynvml, name)} == set()
    assert {name for name in names if not hasattr(Nvml, name)} == set()
