"""This machine measures real files: briefly, and whatever they do to its process."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx_builder import Builder

from evaluators.devices.device import STARTS, Device, LocalDevice, open_device
from evaluators.health import VERDICTS, History
from evaluators.health.history import ENOUGH, baseline_key
from evaluators.health.watch import SIGNALS
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.process import measure_peak_memory
from evaluators.measuring.throughput import Load
from evaluators.processes.locks import exclusive_device, lock_folder
from evaluators.processes.sandbox import Sandbox
from evaluators.tensors import Array
from hwprofiles import Profile, digest_of_file, find_device
from hwprofiles.errors import BuildFailed, DeviceUnavailable, StageTimeout, UnhealthyMeasurement, UnsupportedOp

pytestmark = pytest.mark.alone

SHORT = Protocol(min_pairs=2, min_s=0.0, max_s=0.0, half_width=math.inf, usable_width=math.inf)
"""Healthy however noisy the machine is."""

SAMPLE: dict[str, Array] = {"x": np.ones((1, 64), np.float32)}
LIMIT_S = 60.0


def perceptron(path: Path, hidden: int) -> Path:
    """A file of ``4 * 64 * hidden`` bytes of weights and a little more."""
    builder = Builder()
    x = builder.op("Relu", builder.op("MatMul", builder.input("x", ["n", 64]), builder.weight(64, hidden)))
    builder.op("ReduceSum", x, builder.const([1], np.int64), out="y")
    builder.output("y", shape=["n", 1])
    onnx.save(builder.model(), path)
    return path


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of the test's own, and a child that imports what this process does."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))


@pytest.fixture
def profile() -> Profile:
    return find_device("local-cpu")


@pytest.fixture
def device(profile: Profile) -> Iterator[LocalDevice]:
    opened = LocalDevice(profile)
    yield opened
    opened.close()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return perceptron(tmp_path / "small.onnx", 500)


def measured_ratio(device: Device, model: Path) -> float:
    return device.measure(LatencyRequest(model, model, SAMPLE, protocol=SHORT, limit_s=LIMIT_S)).ratio


class TestMeasuring:
    def test_a_model_against_itself(self, device: LocalDevice, profile: Profile, small: Path) -> None:
        protocol = replace(SHORT, min_pairs=4, few_pairs=4)
        measured = device.measure(LatencyRequest(small, small, SAMPLE, protocol=protocol, limit_s=LIMIT_S))
        low, high = measured.ratio_ci95
        assert 0.1 < low <= measured.ratio <= high < 10
        assert len(measured.baseline_ms) == len(measured.candidate_ms) == 4 * protocol.blocks
        assert {len(block) for block in measured.baseline_ms + measured.candidate_ms} == {protocol.runs}
        assert all(ms > 0 for block in measured.baseline_ms + measured.candidate_ms for ms in block)
        assert measured.sessions == tuple(pair for pair in range(4) for _ in range(protocol.blocks))
        assert measured.profile_digest == profile.digest
        assert measured.runtime_version == profile.runtime_version

    def test_a_larger_model_is_slower(self, device: LocalDevice, small: Path, tmp_path: Path) -> None:
        large = perceptron(tmp_path / "large.onnx", 50_000)
        measured = device.measure(LatencyRequest(large, small, SAMPLE, protocol=SHORT, limit_s=LIMIT_S))
        assert measured.ratio > 1  # it does a hundred times the work

    def test_it_is_pinned_to_the_profiles_cores(self, profile: Profile, small: Path) -> None:
        for core in sorted(os.sched_getaffinity(0))[:2]:
            before = set(psutil.Process().children())
            device = LocalDevice(replace(profile, cores=(core,)))
            measured = device.measure(LatencyRequest(small, small, SAMPLE, protocol=SHORT, limit_s=LIMIT_S))
            (process,) = set(psutil.Process().children()) - before
            assert process.cpu_affinity() == [core]
            assert measured.marks == ()
            device.close()

    def test_a_core_that_is_not_there(self, profile: Profile, small: Path) -> None:
        device = LocalDevice(replace(profile, cores=(9999,)))
        measured = device.measure(LatencyRequest(small, small, SAMPLE, protocol=SHORT, limit_s=LIMIT_S))
        assert measured.marks == ("unpinned",)
        device.close()

    def test_this_process_stays_where_it_was(self, device: LocalDevice, small: Path) -> None:
        before = os.sched_getaffinity(0)
        measured_ratio(device, small)
        assert os.sched_getaffinity(0) == before

    def test_one_process_measures_them_all(self, device: LocalDevice, small: Path) -> None:
        before = set(psutil.Process().children())
        measured_ratio(device, small)
        first = set(psutil.Process().children()) - before
        measured_ratio(device, small)
        assert set(psutil.Process().children()) - before == first
        device.close()
        device.close()
        assert set(psutil.Process().children()) == before


class TestHealth:
    def test_the_record_says_how_the_machine_was(self, device: LocalDevice, small: Path) -> None:
        measured = device.measure(
            LatencyRequest(small, small, SAMPLE, protocol=replace(SHORT, min_s=0.5), limit_s=LIMIT_S)
        )
        assert measured.health is not None
        assert measured.health.verdict in VERDICTS
        assert set(measured.health.unknown) | set(measured.health.signals) <= set(SIGNALS)
        assert Measurement.from_dict(json.loads(json.dumps(measured.to_dict()))) == measured

    def test_a_measurement_on_a_busy_core_says_so(self, profile: Profile, small: Path) -> None:
        busy = subprocess.Popen(
            [sys.executable, "-c", "while True: pass"],
            preexec_fn=lambda: os.sched_setaffinity(0, profile.cores),
        )
        device = LocalDevice(profile)
        try:
            measured = device.measure(
                LatencyRequest(small, small, SAMPLE, protocol=replace(SHORT, min_s=1.0, max_s=1.0), limit_s=LIMIT_S)
            )
        finally:
            busy.kill()
            busy.wait()
            device.close()
        assert measured.health is not None
        assert measured.health.verdict == "contended"
        assert len(measured.quarantined) == Protocol().attempts - 1
        assert {attempt["verdict"] for attempt in measured.quarantined} == {"contended"}

    def test_drift_is_told_by_what_the_baseline_took_before(
        self, device: LocalDevice, profile: Profile, small: Path
    ) -> None:
        history = History(lock_folder(), profile.digest)
        for _ in range(ENOUGH):
            history.remember(baseline_key(digest_of_file(small), profile.threads, {"x": [1, 64]}), 1e-6)
        measured = device.measure(
            LatencyRequest(small, small, SAMPLE, protocol=replace(SHORT, attempts=1), limit_s=LIMIT_S)
        )
        assert measured.health is not None
        assert measured.health.signals["drift_share"] > 100
        quick = replace(SHORT, attempts=1, drift=Protocol().quick().drift)
        measured = device.measure(LatencyRequest(small, small, SAMPLE, protocol=quick, limit_s=LIMIT_S))
        assert measured.health is not None
        assert "drift_share" not in measured.health.signals
        assert measured.health.verdict != "drifted"


class TestStarts:
    def test_the_first_takes_longer_than_the_second(self, device: LocalDevice, small: Path) -> None:
        metrics = device.starts(small, SAMPLE, limit_s=LIMIT_S).metrics()
        for name in ("cold_start_ms", "warm_start_ms"):
            low, high = metrics[name]["ci95"]
            assert 0 < low <= metrics[name]["p50"] <= high
            assert metrics[name]["n"] == STARTS
        assert metrics["warm_start_ms"]["p50"] < metrics["cold_start_ms"]["p50"]

    def test_a_file_that_is_no_model(self, device: LocalDevice, tmp_path: Path) -> None:
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"not a model")
        with pytest.raises(BuildFailed, match=r"broken\.onnx"):
            device.starts(broken, SAMPLE, limit_s=LIMIT_S)


class TestThroughput:
    LOAD = Load(streams=2, window_s=0.02, windows=1, min_pairs=2, max_s=0.0, usable_width=math.inf, attempts=1)

    def test_two_streams(self, device: LocalDevice, small: Path, tmp_path: Path) -> None:
        large = perceptron(tmp_path / "large.onnx", 50_000)
        found = device.throughput(large, small, SAMPLE, load=self.LOAD, limit_s=LIMIT_S)
        assert found.ratio > 1  # it does a hundredth of the work
        assert (found.streams, found.batch) == (2, 1)
        assert found.health is not None

    def test_a_file_that_is_no_model(self, device: LocalDevice, small: Path, tmp_path: Path) -> None:
        with pytest.raises(BuildFailed):
            device.throughput(small, tmp_path / "none.onnx", SAMPLE, load=self.LOAD, limit_s=LIMIT_S)


class TestFailures:
    @pytest.fixture(autouse=True)
    def usable_afterwards(self, device: LocalDevice, small: Path) -> Iterator[None]:
        yield
        assert measured_ratio(device, small) > 0

    def test_a_file_that_is_no_model(self, device: LocalDevice, small: Path, tmp_path: Path) -> None:
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"not a model")
        with pytest.raises(BuildFailed, match=r"broken\.onnx"):
            device.measure(LatencyRequest(small, broken, SAMPLE, protocol=SHORT, limit_s=LIMIT_S))

    def test_a_file_that_is_not_there(self, device: LocalDevice, small: Path, tmp_path: Path) -> None:
        with pytest.raises(BuildFailed, match=r"none\.onnx"):
            device.measure(LatencyRequest(small, tmp_path / "none.onnx", SAMPLE, protocol=SHORT, limit_s=LIMIT_S))

    def test_an_operator_that_is_not_supported(self, device: LocalDevice, small: Path, tmp_path: Path) -> None:
        builder = Builder()
        builder.op("Strange", builder.input("x", ["n", 64]), domain="my.domain", out="y")
        builder.output("y", shape=["n", 64])
        onnx.save(builder.model(), tmp_path / "strange.onnx")
        with pytest.raises(UnsupportedOp, match="Strange"):
            device.measure(LatencyRequest(small, tmp_path / "strange.onnx", SAMPLE, protocol=SHORT, limit_s=LIMIT_S))

    def test_a_sample_that_does_not_fit(self, device: LocalDevice, small: Path) -> None:
        with pytest.raises(BuildFailed):
            device.measure(LatencyRequest(small, small, {"x": SAMPLE["x"][:, :5]}, protocol=SHORT, limit_s=LIMIT_S))

    def test_one_that_takes_too_long(self, device: LocalDevice, small: Path) -> None:
        endless = replace(SHORT, min_pairs=1_000_000, few_pairs=1_000_000)
        with pytest.raises(StageTimeout, match="measuring: took longer"):
            device.measure(LatencyRequest(small, small, SAMPLE, protocol=endless, limit_s=0.5))

    def test_one_whose_interval_stays_wide(self, device: LocalDevice, small: Path) -> None:
        impossible = replace(SHORT, half_width=-1.0, usable_width=-1.0)
        with pytest.raises(UnhealthyMeasurement, match="still"):
            device.measure(LatencyRequest(small, small, SAMPLE, protocol=impossible, limit_s=LIMIT_S))


class TestMemory:
    def test_of_a_model_with_20_mb_of_weights(self, device: LocalDevice, small: Path, tmp_path: Path) -> None:
        large = perceptron(tmp_path / "large.onnx", 20_000_000 // (4 * 64))
        ballast = b"x" * 300_000_000  # of this process, hence of no interest
        peaks = [device.peak_memory_bytes(model, SAMPLE, limit_s=LIMIT_S) for model in (small, large)]
        del ballast
        assert 15e6 < peaks[1] < 200e6
        assert peaks[0] < peaks[1] - 15e6

    def test_a_file_that_is_no_model(self, device: LocalDevice, tmp_path: Path) -> None:
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"not a model")
        with pytest.raises(BuildFailed):
            device.peak_memory_bytes(broken, SAMPLE, limit_s=LIMIT_S)

    def test_it_waits_for_the_device(self, device: LocalDevice, profile: Profile, small: Path) -> None:
        with ThreadPoolExecutor(1) as pool:
            with exclusive_device(profile):
                asked = pool.submit(device.peak_memory_bytes, small, SAMPLE, limit_s=LIMIT_S)
                assert not wait([asked], timeout=3.0).done
            assert asked.result() > 0

    def test_it_is_pinned_to_the_profiles_cores(self, profile: Profile, small: Path) -> None:
        core = min(os.sched_getaffinity(0))
        fresh = Sandbox()
        try:
            asked = replace(profile, cores=(core,)), profile.runtime, small, SAMPLE
            fresh.call(measure_peak_memory, *asked, stage="measuring", limit_s=LIMIT_S)
            assert fresh.call(os.sched_getaffinity, 0, stage="measuring", limit_s=LIMIT_S) == {core}
        finally:
            fresh.close()

    def test_its_process_ends(self, device: LocalDevice, small: Path) -> None:
        before = set(psutil.Process().children())
        device.peak_memory_bytes(small, SAMPLE, limit_s=LIMIT_S)
        assert set(psutil.Process().children()) == before


class TestOpening:
    def test_this_machine(self, profile: Profile) -> None:
        device = open_device(profile)
        assert isinstance(device, LocalDevice)
        assert device.profile is profile
        device.close()

    def test_a_modelled_one(self) -> None:
        with pytest.raises(DeviceUnavailable, match="'dry-run' is simulated") as caught:
            open_device(find_device("dry-run"))
        assert caught.value.exit_code == 5
        assert "--device" in caught.value.hint
