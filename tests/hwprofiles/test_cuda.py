"""What the CUDA driver says of a GPU, and how a machine without one is told apart from one that is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hwprofiles import cuda
from hwprofiles.cuda import cuda_bus_id, cuda_gpu, describe_gpu, run_probe
from hwprofiles.errors import DeviceUnavailable
from hwprofiles.gpus import Gpu, GpuReport


class FakeDriver:
    """The functions of libcuda that we call; ``failing`` gives one of them another code than success."""

    def __init__(self, gpus: int = 1, failing: dict[str, int] | None = None) -> None:
        self.gpus, self.failing = gpus, failing or {}

    def __getattr__(self, name: str) -> Any:
        answers = {
            "cuInit": lambda flags: None,
            "cuDeviceGetCount": lambda count: setattr(count._obj, "value", self.gpus),
            "cuDeviceGet": lambda device, ordinal: setattr(device._obj, "value", ordinal),
            "cuDeviceGetName": lambda text, room, device: setattr(text, "value", b"NVIDIA Example"),
            "cuDeviceGetAttribute": lambda found, which, device: setattr(found._obj, "value", {75: 8, 76: 7}[which]),
            "cuDeviceTotalMem_v2": lambda size, device: setattr(size._obj, "value", 7 << 30),
            "cuDeviceGetPCIBusId": lambda text, room, device: setattr(text, "value", b"0000:3B:00.0"),
            "cuDriverGetVersion": lambda version: setattr(version._obj, "value", 12060),
            "cuGetErrorName": lambda code, text: setattr(text._obj, "value", b"CUDA_ERROR_EXAMPLE"),
        }

        def call(*arguments: Any) -> int:
            answers[name](*arguments)
            return self.failing.get(name, 0)

        return call


def answer(driver: FakeDriver, versions: tuple[Path, ...] = ()) -> dict[str, Any]:
    return describe_gpu(lambda library: driver, versions)


def test_a_gpu() -> None:
    assert answer(FakeDriver()) == {
        "name": "NVIDIA Example", "compute_capability": "8.7", "memory_bytes": 7 << 30, "driver": "CUDA 12.6",
        "cuda": "12.6", "bus_id": "0000:3B:00.0",
    }  # fmt: skip


def test_a_gpu_without_an_address() -> None:
    assert answer(FakeDriver(failing={"cuDeviceGetPCIBusId": 801}))["bus_id"] is None


@pytest.mark.parametrize(
    ("text", "version"),
    [("580.95.05\n", "580.95.05"), ("# R36 (release), REVISION: 4.3\n", "R36 (release), REVISION: 4.3")],
)
def test_the_drivers_own_version(tmp_path: Path, text: str, version: str) -> None:
    (tmp_path / "version").write_text(text)
    (tmp_path / "empty").touch()
    places = (tmp_path / "none", tmp_path / "empty", tmp_path / "version")
    assert answer(FakeDriver(), places)["driver"] == version


def test_no_driver() -> None:
    def load(library: str) -> Any:
        raise OSError(library)

    found = describe_gpu(load)
    assert found.keys() == {"error", "hint"}
    assert "libcuda.so.1 is missing" in found["error"]
    assert "driver" in found["hint"]


def test_no_gpu() -> None:
    assert "shows no GPU" in answer(FakeDriver(gpus=0))["error"]


@pytest.mark.parametrize("function", ["cuInit", "cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2"])
def test_a_driver_that_fails_is_quoted(function: str) -> None:
    found = answer(FakeDriver(failing={function: 999}))
    assert found.keys() == {"error", "hint"}
    assert "CUDA_ERROR_EXAMPLE" in found["error"]


def test_a_count_that_fails() -> None:
    assert "shows no GPU" in answer(FakeDriver(failing={"cuDeviceGetCount": 3}))["error"]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ended with signal 11"),
        ("raise SystemExit(3)", "ended with exit code 3"),
    ],
)
def test_a_driver_that_ends_its_process_is_an_answer(program: str, said: str) -> None:
    found = run_probe([sys.executable, "-c", program])
    assert said in found["error"]
    assert found["hint"]


def test_a_driver_that_hangs_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "PATIENCE_S", 0.05)
    assert "did not answer" in run_probe([sys.executable, "-c", "import time; time.sleep(30)"])["error"]


def test_what_libraries_print_before_the_answer_is_passed_over() -> None:
    assert run_probe([sys.executable, "-c", "print('hello'); print('{\"name\": 1}')"]) == {"name": 1}


class TestThisMachine:
    """With a GPU it is described; without one, the same error says so each time."""

    def test_it_is_asked_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = []
        for _ in range(2):
            try:
                found.append(repr(cuda_gpu()))
            except DeviceUnavailable as error:
                found.append(f"{error.message}; {error.hint}")
            monkeypatch.setattr(subprocess, "run", None)
        assert found[0] == found[1]

    def test_a_runtime_of_tensorrt_without_a_driver_ends_its_process(self) -> None:
        """Why the driver is looked for first. The lean runtime stands for the full one."""
        program = "import tensorrt_lean_bindings as t; t.Runtime(t.Logger()); print('{\"made\": true}')"
        found = run_probe([sys.executable, "-c", program])
        try:
            cuda_gpu()
        except DeviceUnavailable:
            assert "ended with signal" in found["error"]
        else:
            assert found == {"made": True}


class TestWithNvml:
    ANSWER: ClassVar[dict[str, Any]] = {
        "name": "NVIDIA Example", "compute_capability": "8.7", "memory_bytes": 7, "driver": "580.1", "cuda": "13.0",
    }  # fmt: skip

    def found(self, monkeypatch: pytest.MonkeyPatch, *gpus: Gpu) -> Gpu:
        monkeypatch.setattr(cuda, "_answer", lambda: self.ANSWER)
        monkeypatch.setattr(cuda, "find_gpus", lambda: GpuReport(gpus))
        return cuda_gpu()

    def test_what_nvml_knows_besides_is_added(self, monkeypatch: pytest.MonkeyPatch) -> None:
        listed = Gpu(index=0, name="NVIDIA Example", cores=128, power_limit_w=60.0, driver="other")
        found = self.found(monkeypatch, listed)
        assert (found.cores, found.power_limit_w, found.driver) == (128, 60.0, "580.1")

    def test_its_address_is_no_part_of_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        alone = self.found(monkeypatch)
        assert cuda_bus_id() is None
        monkeypatch.setattr(cuda, "_answer", lambda: self.ANSWER | {"bus_id": "0000:3B:00.0"})
        assert cuda_bus_id() == "0000:3B:00.0"
        assert cuda_gpu() == alone

    @pytest.mark.parametrize(
        "gpus",
        [
            (),
            (Gpu(index=0, name="Other", cores=1),),
            (Gpu(0, "NVIDIA Example", cores=1), Gpu(1, "NVIDIA Example", cores=2)),
        ],
        ids=["none", "another", "several"],
    )
    def test_what_may_be_another_gpus_is_not(self, monkeypatch: pytest.MonkeyPatch, gpus: tuple[Gpu, ...]) -> None:
        assert self.found(monkeypatch, *gpus) == Gpu(index=0, **self.ANSWER)
