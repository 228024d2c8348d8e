"""Energy from recorded counters, and none where there are none."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from counter_tree import CounterTree

from evaluators.health import GpuCounters
from evaluators.measuring import energy
from evaluators.measuring.energy import Meter, Nvml, Rapl, find_meter, measure_energy
from evaluators.runtimes import OnnxRuntime
from evaluators.runtimes.base import Session
from evaluators.tensors import Array, Arrays
from hwprofiles import find_device
from hwprofiles.gpus import Gpu


class Metered(Session):
    """Takes so many milliseconds and millijoules an inference, by its bench's clock and counter."""

    inputs = outputs = ()

    def __init__(self, bench: DeviceEvaluator, ms: float, mj: float) -> None:
        self._bench, self._ms, self._mj = bench, ms, mj

    def run(self, feed: Arrays) -> dict[str, Array]:
        raise NotImplementedError

    def time_ms(self, feed: Arrays) -> float:
        self._bench.now_s += self._ms / 1000
        self._bench.used_mj += self._mj
        return self._ms

    def close(self) -> None:
        pass


class DeviceEvaluator(Meter):
    """``unread`` is the number of the reading that fails, of those that begin with 1."""

    source = "bench"

    def __init__(self, unread: int = 0) -> None:
        self.now_s, self.used_mj = 0.0, 123456.0
        self._readings = itertools.count(1)
        self._unread = unread

    def read_mj(self) -> float | None:
        return None if next(self._readings) == self._unread else self.used_mj

    def model(self, ms: float, mj: float) -> Callable[[], Session]:
        return lambda: Metered(self, ms, mj)


class TestInferences:
    @pytest.mark.parametrize(("baseline", "candidate"), [((10.0, 50.0), (2.0, 30.0)), ((0.5, 1.0), (900.0, 4000.0))])
    def test_each_is_told_its_own(self, baseline: tuple[float, float], candidate: tuple[float, float]) -> None:
        bench = DeviceEvaluator()
        found = measure_energy(
            bench.model(*baseline), bench.model(*candidate), {}, bench, window_s=0.5, clock=lambda: bench.now_s
        )
        assert found is not None
        assert found["baseline"] == pytest.approx(baseline[1])
        assert found["candidate"] == pytest.approx(candidate[1])
        assert found["source"] == "bench"

    def test_it_takes_two_windows_each(self) -> None:
        bench = DeviceEvaluator()
        measure_energy(bench.model(10, 1), bench.model(10, 1), {}, bench, window_s=0.5, clock=lambda: bench.now_s)
        assert 2.0 <= bench.now_s < 2.2

    @pytest.mark.parametrize("reading", range(1, 9))
    def test_a_reading_that_fails_leaves_no_figure(self, reading: int) -> None:
        bench = DeviceEvaluator(unread=reading)
        clock = lambda: bench.now_s  # noqa: E731
        assert measure_energy(bench.model(10, 1), bench.model(10, 1), {}, bench, window_s=0.5, clock=clock) is None

    def test_the_machine_is_looked_at_after_each_window(self) -> None:
        bench = DeviceEvaluator()
        seen: list[float] = []
        measure_energy(
            bench.model(10, 1), bench.model(10, 1), {}, bench, window_s=0.5, clock=lambda: bench.now_s,
            look=lambda: seen.append(bench.now_s),
        )  # fmt: skip
        assert seen == pytest.approx([0.52, 1.04, 1.56, 2.08], abs=0.03)


def read(meter: Meter) -> float:
    found = meter.read_mj()
    assert found is not None
    return found


class TestRapl:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> CounterTree:
        return CounterTree(tmp_path)

    def meter(self, tree: CounterTree) -> Rapl:
        meter = Rapl.find(tree.root)
        assert meter is not None
        return meter

    def test_what_passed_since_the_last_reading(self, tree: CounterTree) -> None:
        tree.energy_uj(0, 5_000_000)
        meter = self.meter(tree)
        start = read(meter)
        tree.energy_uj(0, 5_750_000)
        assert read(meter) - start == pytest.approx(750)
        tree.energy_uj(0, 5_800_000)
        assert read(meter) - start == pytest.approx(800)

    def test_a_counter_that_is_full_begins_anew(self, tree: CounterTree) -> None:
        highest = 10_000_000
        tree.energy_uj(0, highest - 1000, highest=highest)
        meter = self.meter(tree)
        start = read(meter)
        tree.energy_uj(0, 2000, highest=highest)
        assert read(meter) - start == pytest.approx(3)

    def test_all_packages_and_nothing_else(self, tree: CounterTree) -> None:
        tree.energy_uj(0, 0)
        tree.energy_uj(1, 0)
        tree.energy_uj(2, 0, name="psys")
        tree.file("sys/class/powercap/intel-rapl:0:0/name", "core\n")
        tree.file("sys/class/powercap/intel-rapl:0:0/energy_uj", "5\n")
        meter = self.meter(tree)
        start = read(meter)
        for package, value in enumerate((1000, 2000, 64000)):
            tree.energy_uj(package, value, name="psys" if package == 2 else "")
        assert read(meter) - start == pytest.approx(3)

    def test_a_machine_without(self, tree: CounterTree) -> None:
        assert Rapl.find(tree.root) is None
        tree.energy_uj(0, 0)
        tree.file("sys/class/powercap/intel-rapl:0/energy_uj", "")  # as one that may not be read
        assert Rapl.find(tree.root) is None

    def test_one_that_vanishes(self, tree: CounterTree) -> None:
        tree.energy_uj(0, 1000)
        meter = self.meter(tree)
        tree.energy_uj(0, 3000)
        assert meter.read_mj() == pytest.approx(2)
        tree.file("sys/class/powercap/intel-rapl:0/energy_uj", "")
        assert meter.read_mj() is None


BUS_ID = "0000:3B:00.0"


class CountingNvml:
    class NVMLError(Exception):
        pass

    def __init__(self, last: float = math.inf) -> None:
        self.counts, self.last = itertools.count(1000, 250), last

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByPciBusId(self, bus_id: str) -> int:
        if bus_id != BUS_ID:
            raise self.NVMLError("no such GPU")
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        count = next(self.counts)
        if count > self.last:
            raise self.NVMLError("gone")
        return count


class TestNvml:
    def test_it_counts(self) -> None:
        meter = Nvml(GpuCounters(BUS_ID, CountingNvml()))
        assert read(meter) + 250 == read(meter)

    @pytest.mark.parametrize("bus_id", [None, "0000:af:00.0"])
    def test_one_that_is_not_there(self, bus_id: str | None) -> None:
        assert Nvml.find(bus_id, CountingNvml()) is None

    def test_a_reading_that_fails_is_no_zero(self) -> None:
        meter = Nvml.find(BUS_ID, CountingNvml(last=1250))
        assert meter is not None
        assert meter.read_mj() == 1250
        assert meter.read_mj() is None


class TestWhich:
    def test_the_processor_s_for_what_computes_there(self, tmp_path: Path) -> None:
        tree, profile = CounterTree(tmp_path), find_device("local-cpu")
        assert find_meter(profile, [OnnxRuntime()], tree.root) is None
        tree.energy_uj(0, 0)
        assert isinstance(find_meter(profile, [OnnxRuntime(), OnnxRuntime()], tree.root), Rapl)

    def test_never_the_processor_s_for_a_gpu(self, tmp_path: Path) -> None:
        tree = CounterTree(tmp_path)
        tree.energy_uj(0, 0)
        profile = replace(find_device("local-cpu"), gpu=Gpu(63, "a GPU that no machine has"))
        assert find_meter(profile, [OnnxRuntime("cuda")], tree.root) is None
        assert find_meter(find_device("local-cpu"), [OnnxRuntime("cuda")], tree.root) is None

    def test_of_several_gpus_the_one_that_cuda_shows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """NVML counts in the bus's order and knows no ``CUDA_VISIBLE_DEVICES``."""
        profile = replace(find_device("local-cpu"), gpu=Gpu(0, "NVIDIA Example"))
        monkeypatch.setitem(sys.modules, "pynvml", CountingNvml())
        found = []
        for bus_id in (BUS_ID, "0000:af:00.0", None):
            monkeypatch.setattr(energy, "cuda_bus_id", lambda bus_id=bus_id: bus_id)
            found.append(find_meter(profile, [OnnxRuntime("cuda")]))
        assert [type(meter) for meter in found] == [Nvml, type(None), type(None)]

    def test_two_places_cannot_be_compared(self, tmp_path: Path) -> None:
        tree = CounterTree(tmp_path)
        tree.energy_uj(0, 0)
        assert find_meter(find_device("local-cpu"), [OnnxRuntime(), OnnxRuntime("cuda")], tree.root) is None
