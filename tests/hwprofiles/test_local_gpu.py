"""The device ``local-gpu``: what it is on a machine that has one, and what is said where it is not."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

from hwprofiles import find_device, local_gpu, probe
from hwprofiles.errors import DeviceUnavailable
from hwprofiles.gpus import Gpu
from hwprofiles.profile import Profile

GPU = Gpu(index=0, name="NVIDIA Example", compute_capability="8.7", memory_bytes=7_000, driver="580.1", cuda="13.0")


def machine(monkeypatch: pytest.MonkeyPatch, imported: dict[str, str], *, trtexec: str = "", gpu: Gpu = GPU) -> None:
    """A machine with a GPU, on which these modules can be imported."""

    def find_trtexec() -> tuple[str, str]:
        if not trtexec:
            raise DeviceUnavailable("no tool")
        return "trtexec", trtexec

    monkeypatch.setattr(local_gpu, "cuda_gpu", lambda: gpu)
    monkeypatch.setattr(local_gpu, "_importable_runtimes", lambda: imported)
    monkeypatch.setattr(local_gpu, "find_trtexec", find_trtexec)


BOTH = {"tensorrt": "11.4.0", "onnxruntime": "1.31.1", "provider": "onnxruntime:cuda"}


@pytest.mark.parametrize(
    ("imported", "trtexec", "first", "runtimes"),
    [
        (BOTH, "11.4.0", "tensorrt", (("tensorrt", "11.4.0"), ("onnxruntime", "1.31.1"))),
        ({"tensorrt": "10.3.0"}, "", "tensorrt", (("tensorrt", "10.3.0"),)),
        ({k: v for k, v in BOTH.items() if k != "tensorrt"}, "", "onnxruntime:cuda", (("onnxruntime", "1.31.1"),)),
        ({}, "10.3.0", "trtexec", (("trtexec", "10.3.0"),)),
    ],
    ids=["both", "tensorrt", "onnxruntime", "tool"],
)
def test_its_runtimes(
    monkeypatch: pytest.MonkeyPatch, imported: dict[str, str], trtexec: str, first: str,
    runtimes: tuple[tuple[str, str], ...],
) -> None:  # fmt: skip
    machine(monkeypatch, imported, trtexec=trtexec)
    profile = find_device("local-gpu", batch=4)
    assert (profile.device, profile.runtime, profile.runtime_version) == ("local-gpu", first, runtimes[0][1])
    assert profile.runtimes == runtimes
    assert (profile.processor, profile.instruction_sets, profile.memory_bytes) == ("NVIDIA Example", ("sm_87",), 7_000)
    assert (profile.gpu, profile.batch, profile.cores) == (GPU, 4, probe.usable_cores()[-1:])
    assert Profile.from_dict(profile.to_dict()) == profile


def test_its_digest_changes_with_gpu_driver_and_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = [
        (BOTH, GPU), ({**BOTH, "tensorrt": "11.5.0"}, GPU), ({**BOTH, "onnxruntime": "1.32.0"}, GPU),
        (BOTH, replace(GPU, driver="581.0")), (BOTH, replace(GPU, name="Other")),
        (BOTH, replace(GPU, compute_capability="9.0")),
    ]  # fmt: skip
    digests = set()
    for imported, gpu in machines:
        machine(monkeypatch, imported, gpu=gpu)
        digests.add(find_device("local-gpu").digest)
    assert len(digests) == len(machines)


def test_a_gpu_without_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, {})
    with pytest.raises(DeviceUnavailable, match="no runtime for the GPU") as unavailable:
        find_device("local-gpu")
    assert "paretune[tensorrt]" in unavailable.value.hint


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, BOTH)
    with pytest.raises(DeviceUnavailable, match="10000 threads"):
        find_device("local-gpu", threads=10_000)


class TestModules:
    def module(self, monkeypatch: pytest.MonkeyPatch, name: str, version: str, *providers: str) -> None:
        found = ModuleType(name)
        found.__version__ = version  # type: ignore[attr-defined]
        found.get_available_providers = lambda: list(providers)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, found)

    @pytest.mark.parametrize(
        ("providers", "first"),
        [
            (("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"), "onnxruntime:cuda"),
            (("CUDAExecutionProvider", "CPUExecutionProvider"), "onnxruntime:cuda"),
            (("TensorrtExecutionProvider", "CPUExecutionProvider"), "onnxruntime:tensorrt"),
        ],
    )
    def test_onnxruntime_with_providers(
        self, monkeypatch: pytest.MonkeyPatch, providers: tuple[str, ...], first: str
    ) -> None:
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        self.module(monkeypatch, "onnxruntime", "1.31.1", *providers)
        assert local_gpu.import_runtimes() == {"onnxruntime": "1.31.1", "provider": first}

    def test_onnxruntime_for_processors_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.module(monkeypatch, "tensorrt", "10.3.0")
        self.module(monkeypatch, "onnxruntime", "1.31.1", "CPUExecutionProvider")
        assert local_gpu.import_runtimes() == {"tensorrt": "10.3.0"}

    def test_they_are_imported_in_another_process(self) -> None:
        """TensorRT brings a gigabyte of libraries, and may end the process that loads it."""
        before = set(sys.modules)
        local_gpu._importable_runtimes()
        assert "tensorrt" not in set(sys.modules) - before


def test_here_it_is_described_or_its_absence_is() -> None:
    try:
        profile = find_device("local-gpu")
    except DeviceUnavailable as error:
        found = bool(error.message and error.hint)
    else:
        found = bool(profile.gpu and profile.runtimes)
    assert found
