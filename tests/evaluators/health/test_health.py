"""Health on recorded machines: those that throttle, are stolen from, are contended, and those that expose nothing."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from counter_tree import TICKS, CounterTree

from evaluators.health import VERDICTS, Counters, GpuCounters, Health, History, Repeats, Tolerance, Watch, widen
from evaluators.health.gpu import GpuState
from evaluators.health.history import ENOUGH, KEPT, RECENT_S
from evaluators.health.repeats import APART_S, EXPECTED
from evaluators.health.watch import SIGNALS
from evaluators.processes.sandbox import Sandbox

CORE = 3


@pytest.fixture
def tree(tmp_path: Path) -> CounterTree:
    return CounterTree(tmp_path)


def watch(tree: CounterTree, *, cores: tuple[int, ...] = (CORE,), **options: Any) -> Watch:
    return Watch(cores, Counters(tree.root, ticks=TICKS, clock=tree.clock), **options)


def after(tree: CounterTree, seconds: float = 10.0, looks: int = 1, **passes: Any) -> Health:
    """The health of a measurement in which that happened, at an even pace."""
    watching = watch(tree)
    for _ in range(looks):
        tree.passes(seconds / looks, **passes)
        watching.look()
    return watching.health()


class TestQuiet:
    def test_a_machine_that_only_measures(self, tree: CounterTree) -> None:
        health = after(tree)
        assert (health.verdict, health.reasons) == ("healthy", ())
        assert health.signals["others_share"] == health.signals["steal_share"] == health.signals["wait_share"] == 0
        assert health.healthy
        assert not health.transient

    @pytest.mark.parametrize("share", [0.02, 0.04])
    def test_a_little_of_others_is_no_matter(self, tree: CounterTree, share: float) -> None:
        health = after(tree, others_s={CORE: share * 10, 0: 2.0})
        assert health.healthy
        assert health.signals["others_share"] == pytest.approx(share, abs=0.01)

    def test_our_own_work_is_not_others(self, tree: CounterTree) -> None:
        """Whatever part of the time the process works itself."""
        for own_s in (10.0, 5.0, 0.0):
            assert after(tree, own_s=own_s).signals["others_share"] == 0

    def test_our_children_are_not_others(self, tree: CounterTree) -> None:
        """As with a tool that measures in a process of its own."""
        health = after(tree, own_s=0.5, children_s=9.0)
        assert (health.verdict, health.signals["others_share"]) == ("healthy", 0)

    def test_several_looks_add_up(self, tree: CounterTree) -> None:
        one = after(tree, looks=1, others_s={CORE: 4.0}, waited_s=4.0)
        many = after(tree, looks=8, others_s={CORE: 0.5}, waited_s=0.5)
        assert many.signals["others_share"] == pytest.approx(one.signals["others_share"], abs=0.01)
        assert many.signals["wait_share"] == pytest.approx(one.signals["wait_share"])


class TestCountersThatDoNotCount:
    """What shows nothing of others is unknown, never healthy."""

    ABOUT_CORES = frozenset({"others_share", "elsewhere_share", "steal_share"})

    def test_cores_that_stand_still_while_we_work(self, tree: CounterTree) -> None:
        """As in a sandbox that shows zeros in /proc/stat."""
        zeros = "cpu  0 0 0 0 0 0 0 0 0 0\n" + "".join(f"cpu{core} 0 0 0 0 0 0 0 0 0 0\n" for core in range(4))
        tree.file("proc/stat", zeros)
        watching = watch(tree, cores=(2, CORE), threads=2)
        tree.passes(10.0, own_s=8.0)
        tree.file("proc/stat", zeros)
        watching.look()
        health = watching.health()
        assert health.verdict == "unknown"
        assert set(health.unknown) >= self.ABOUT_CORES
        assert not self.ABOUT_CORES & set(health.signals)

    def test_cores_that_show_a_part_of_our_own_work(self, tree: CounterTree) -> None:
        tree.passes(10.0, others_s={CORE: 9.0})
        health = after(tree, own_s=8.0, others_s={CORE: -4.0})
        assert set(health.unknown) >= self.ABOUT_CORES

    def test_a_container_that_is_shown_its_own_work_alone(self, tree: CounterTree) -> None:
        tree.file(
            "proc/self/mountinfo",
            "22 1 0:20 / /proc rw - proc proc rw\n"
            "31 22 0:45 /proc/stat /proc/stat rw,nosuid shared:9 - fuse.lxcfs lxcfs rw\n",
        )
        watching = watch(tree, cores=(2, CORE), threads=2)
        tree.passes(10.0)
        watching.look()
        health = watching.health()
        assert health.verdict == "unknown"
        assert set(health.unknown) >= self.ABOUT_CORES

    def test_other_files_of_that_system_hide_nothing(self, tree: CounterTree) -> None:
        tree.file("proc/self/mountinfo", "31 22 0:45 /proc/meminfo /proc/meminfo rw - fuse.lxcfs lxcfs rw\n")
        assert after(tree).healthy

    def test_a_process_that_hardly_works_is_seen_well_enough(self, tree: CounterTree) -> None:
        assert after(tree, own_s=0.0).healthy


class TestContended:
    @pytest.mark.parametrize("share", [0.08, 0.2, 0.5, 0.9])
    def test_others_on_the_measured_core(self, tree: CounterTree, share: float) -> None:
        health = after(tree, own_s=10 * (1 - share), others_s={CORE: 10 * share})
        assert health.verdict == "contended"
        assert health.signals["others_share"] == pytest.approx(share, abs=0.01)
        assert f"{health.signals['others_share']:.0%} of the measured cores" in health.reasons[0]
        assert health.transient

    def test_waiting_for_the_core(self, tree: CounterTree) -> None:
        health = after(tree, waited_s=1.0, preemptions=40)
        assert health.verdict == "contended"
        assert health.signals["wait_share"] == pytest.approx(0.1)
        assert health.signals["preemptions_per_s"] == pytest.approx(4)

    def test_threads_of_our_own_may_wait_for_one_another(self, tree: CounterTree) -> None:
        watching = watch(tree, cores=(2, CORE), threads=2)
        tree.passes(10.0, own_s=9.0, waited_s=3.0)
        watching.look()
        assert watching.health().healthy

    def test_nor_are_they_judged_where_nothing_else_is_known(self, tree: CounterTree) -> None:
        """Too short to count what others used."""
        watching = watch(tree, cores=(2, CORE), threads=2)
        tree.passes(0.2, own_s=0.2, waited_s=0.1)
        watching.look()
        health = watching.health()
        assert health.signals["wait_share"] > 0.2
        assert (health.verdict, health.transient) == ("unknown", False)

    def test_a_thread_that_is_new_and_gone_again_counts(self, tree: CounterTree) -> None:
        watching = watch(tree)
        tree.passes(5.0, waited_s=1.0, thread=7)
        watching.look()
        tree.thread_ends(7)
        tree.passes(5.0)
        watching.look()
        assert watching.health().signals["wait_share"] == pytest.approx(0.1)

    def test_a_busy_sibling_of_the_measured_core(self, tree: CounterTree) -> None:
        tree.siblings(1, CORE)
        health = after(tree, others_s={1: 5.0})
        assert health.verdict == "contended"
        assert health.signals["siblings_share"] == pytest.approx(0.5)
        assert "sibling" in health.reasons[0]

    def test_load_that_is_not_ours_on_the_remaining_cores(self, tree: CounterTree) -> None:
        health = after(tree, others_s={0: 10.0, 1: 5.0})
        assert health.verdict == "contended"
        assert health.signals["elsewhere_share"] == pytest.approx(0.5)

    def test_a_machine_that_is_stolen_from(self, tree: CounterTree) -> None:
        health = after(tree, own_s=8.0, stolen_s={CORE: 2.0})
        assert health.verdict == "contended"
        assert health.signals["steal_share"] == pytest.approx(0.2)
        assert "hypervisor" in health.reasons[0]

    def test_what_is_stolen_from_other_cores_is_no_matter(self, tree: CounterTree) -> None:
        assert after(tree, stolen_s={0: 9.0, 1: 9.0}).healthy

    @pytest.mark.parametrize("version", [1, 2])
    def test_a_control_group_that_holds_the_process_back(self, tree: CounterTree, version: int) -> None:
        quota = tree.quota_v1 if version == 1 else tree.quota_v2
        quota(5.0)
        watching = watch(tree)
        tree.passes(10.0, own_s=7.0)
        quota(8.0)
        watching.look()
        health = watching.health()
        assert health.verdict == "contended"
        assert health.signals["quota_share"] == pytest.approx(0.3)

    def test_a_group_above_that_is_held_back(self, tree: CounterTree) -> None:
        tree.quota_v2(0.0)
        tree.file("sys/fs/cgroup/jobs/cpu.stat", "throttled_usec 0\n")
        watching = watch(tree)
        tree.passes(10.0)
        tree.file("sys/fs/cgroup/jobs/cpu.stat", "throttled_usec 2000000\n")
        watching.look()
        assert watching.health().signals["quota_share"] == pytest.approx(0.2)


class TestThrottled:
    @pytest.mark.parametrize("counters", [{"times": 1}, {"times": 0, "package": 2}])
    def test_the_counters_rose(self, tree: CounterTree, counters: dict[str, int]) -> None:
        tree.throttled(CORE, 0)
        watching = watch(tree)
        tree.passes(10.0)
        tree.throttled(CORE, **counters)
        watching.look()
        assert watching.health().verdict == "throttled"

    def test_what_was_counted_before_is_no_matter(self, tree: CounterTree) -> None:
        tree.throttled(CORE, 500)
        tree.throttled(0, 0)
        watching = watch(tree)
        tree.passes(10.0)
        tree.throttled(0, 9)  # another core
        watching.look()
        health = watching.health()
        assert health.healthy
        assert health.signals["throttles"] == 0

    def test_the_clock_dropped(self, tree: CounterTree) -> None:
        tree.clock_mhz(CORE, 800)  # idle, before
        watching = watch(tree)
        for mhz in (3000, 3000, 3000, 2500, 2200, 2200, 2200):
            tree.clock_mhz(CORE, mhz)
            tree.passes(2.0)
            watching.look()
        health = watching.health()
        assert health.verdict == "throttled"
        assert health.signals["clock_drop_share"] == pytest.approx(1 - 2200 / 3000, abs=1e-6)
        assert health.signals["clock_mhz"] == 2500

    def test_a_clock_that_only_wavers(self, tree: CounterTree) -> None:
        watching = watch(tree)
        for mhz in (3000, 2950, 3010, 2900, 3020, 2980):
            tree.clock_mhz(CORE, mhz)
            tree.passes(2.0)
            watching.look()
        assert watching.health().healthy

    def test_below_the_base_clock_all_along(self, tree: CounterTree) -> None:
        tree.file(f"sys/devices/system/cpu/cpu{CORE}/cpufreq/base_frequency", 2_500_000)
        tree.clock_mhz(CORE, 1500)
        health = after(tree, looks=5)
        assert health.verdict == "throttled"
        assert health.signals["below_base_share"] == pytest.approx(0.4)

    @pytest.mark.parametrize("kind", ["Processor", "cpufreq-cpu0", "thermal-cpufreq-0"])
    def test_the_system_cools_the_processor(self, tree: CounterTree, kind: str) -> None:
        tree.cooling(2, kind)
        assert after(tree).verdict == "throttled"

    @pytest.mark.parametrize(("state", "kind"), [(0, "Processor"), (3, "fan"), (2**32 - 1, "Processor")])
    def test_what_does_not_slow_it_down(self, tree: CounterTree, state: int, kind: str) -> None:
        tree.cooling(state, kind)
        assert after(tree).healthy

    def test_the_hottest_zone_is_told(self, tree: CounterTree) -> None:
        tree.temperature_c(41.0, 63.5, 58.0)
        assert after(tree).signals["temperature_c"] == 63.5


class TestDrift:
    @pytest.mark.parametrize(("drift", "verdict"), [(0.05, "healthy"), (0.3, "drifted"), (-0.3, "drifted")])
    def test_a_baseline_that_takes_another_time(self, tree: CounterTree, drift: float, verdict: str) -> None:
        watching = watch(tree)
        tree.passes(10.0)
        watching.look()
        health = watching.health(drift_share=drift)
        assert health.verdict == verdict
        assert health.signals["drift_share"] == drift

    def test_the_reason_says_in_which_direction(self) -> None:
        slower, faster = (
            Tolerance().judge({"others_share": 0.0, "drift_share": drift}, ()).reasons[0] for drift in (0.3, -0.3)
        )
        assert "30% slower" in slower
        assert "30% faster" in faster

    @pytest.mark.parametrize(("shift", "reasons"), [
        (0.02, ()), (0.03, ("not steady: the speed-up changed by 3% during the measurement",)),
    ])  # fmt: skip
    def test_a_ratio_that_moves_meanwhile(self, tree: CounterTree, shift: float, reasons: tuple[str, ...]) -> None:
        watching = watch(tree)
        tree.passes(10.0)
        watching.look()
        health = watching.health(shift_share=shift)
        assert (health.verdict, health.reasons) == ("drifted" if reasons else "healthy", reasons)
        assert health.signals["shift_share"] == shift

    def test_contention_explains_drift(self, tree: CounterTree) -> None:
        watching = watch(tree)
        tree.passes(10.0, others_s={CORE: 5.0})
        watching.look()
        health = watching.health(drift_share=0.9)
        assert health.verdict == "contended"
        assert len(health.reasons) == 2


class TestUnknown:
    def test_a_machine_that_exposes_nothing(self, tmp_path: Path) -> None:
        moments = iter([0.0, 10.0])
        watching = Watch((CORE,), Counters(tmp_path, clock=lambda: next(moments)))
        watching.look()
        health = watching.health()
        assert health.verdict == "unknown"
        assert not health.healthy
        assert not health.transient
        assert set(health.unknown) == {name for name in SIGNALS if not name.startswith("gpu_")}
        assert not health.signals
        assert health.reasons

    def test_what_is_not_exposed_is_listed_and_not_read_as_fine(self, tree: CounterTree) -> None:
        health = after(tree)
        assert health.healthy
        for name in ("throttles", "clock_mhz", "clock_drop_share", "temperature_c", "cooling", "quota_share"):
            assert name in health.unknown
            assert name not in health.signals
        assert not set(health.unknown) & set(health.signals)

    @pytest.mark.parametrize(
        "path", ["proc/stat", "proc/self/stat", "proc/loadavg", f"proc/self/task/{4242}/schedstat"]
    )
    @pytest.mark.parametrize("content", ["", "nonsense\n", "cpu3 1 2\n", "cpu3 a b c d e f g h\n", "\x00\xff" * 50])
    def test_files_of_another_form_are_unknown(self, tree: CounterTree, path: str, content: str) -> None:
        tree.file(path, content)
        watching = watch(tree)
        tree.now_s += 10
        watching.look()
        health = watching.health()
        assert health.unknown
        assert health.verdict in VERDICTS

    def test_without_the_process_s_own_time_nobody_knows_whose_the_rest_is(self, tree: CounterTree) -> None:
        watching = watch(tree)
        tree.passes(10.0)
        (tree.root / "proc/self/stat").unlink()
        watching.look()
        health = watching.health()
        assert "others_share" in health.unknown
        assert health.healthy  # it waited for nobody

    def test_too_short_to_count(self, tree: CounterTree) -> None:
        health = after(tree, 0.1)
        assert "others_share" in health.unknown
        assert "steal_share" in health.unknown
        assert "wait_share" in health.signals

    def test_a_guest_is_shown_no_clock(self, tree: CounterTree) -> None:
        tree.cpuinfo(2000.0, "fpu avx2 hypervisor constant_tsc")
        assert "clock_mhz" in after(tree).unknown

    def test_a_clock_in_cpuinfo(self, tree: CounterTree) -> None:
        tree.cpuinfo(2345.678, "fpu avx2")
        assert after(tree).signals["clock_mhz"] == pytest.approx(2345.678)

    def test_a_core_that_the_machine_does_not_list(self, tree: CounterTree) -> None:
        """All cores are looked at then."""
        watching = watch(tree, cores=(99,))
        tree.passes(10.0, others_s={0: 8.0, 1: 8.0})
        watching.look()
        assert watching.health().verdict == "contended"

    def test_a_core_that_goes_offline(self, tree: CounterTree) -> None:
        watching = watch(tree)
        tree.passes(10.0)
        lines = (tree.root / "proc/stat").read_text().splitlines(keepends=True)
        tree.file("proc/stat", "".join(line for line in lines if not line.startswith("cpu1 ")))
        watching.look()
        assert watching.health().healthy

    def test_a_group_that_names_folders_elsewhere(self, tree: CounterTree) -> None:
        tree.file("proc/self/cgroup", "0::/../../../etc\n")
        assert "quota_share" in after(tree).unknown


class FakeNvml:
    class NVMLError(Exception):
        pass

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    def __init__(
        self,
        clocks: list[int],
        reasons: int = 0,
        energy: int | None = None,
        there: bool = True,
        users: list[int] | None = None,
    ) -> None:
        self._clocks, self._reasons, self._energy, self._there = clocks, reasons, energy, there
        self._users = [os.getpid()] if users is None else users

    def nvmlInit(self) -> None:
        if not self._there:
            raise self.NVMLError("no driver")

    def nvmlDeviceGetHandleByPciBusId(self, bus_id: str) -> str:
        return bus_id

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        if -1 in self._users:
            raise self.NVMLError("not supported")
        return [SimpleNamespace(pid=pid, usedGpuMemory=None) for pid in self._users]

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:
        return self._clocks.pop(0)

    def nvmlDeviceGetTemperature(self, handle: int, kind: int) -> int:
        return 71

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> int:
        return self._reasons

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if self._energy is None:
            raise self.NVMLError("not supported")
        return self._energy


class TestGpu:
    def health(self, tree: CounterTree, nvml: FakeNvml, looks: int = 4) -> Health:
        watching = watch(tree, gpu=GpuCounters("0000:3B:00.0", nvml))
        for _ in range(looks):
            tree.passes(2.0)
            watching.look()
        return watching.health()

    def test_one_at_its_pace(self, tree: CounterTree) -> None:
        health = self.health(tree, FakeNvml([1980, 1975, 1980, 1980], reasons=0x1 | 0x4))
        assert health.healthy
        assert health.signals["gpu_clock_mhz"] == 1980
        assert health.signals["gpu_temperature_c"] == 71

    @pytest.mark.parametrize("reasons", [0x8, 0x20, 0x40, 0x80])
    def test_one_that_is_slowed_down(self, tree: CounterTree, reasons: int) -> None:
        assert self.health(tree, FakeNvml([1980] * 4, reasons)).verdict == "throttled"

    def test_one_whose_clock_drops(self, tree: CounterTree) -> None:
        assert self.health(tree, FakeNvml([1980, 1980, 1500, 1400])).verdict == "throttled"

    def test_without_its_driver_it_is_unknown(self, tree: CounterTree) -> None:
        health = self.health(tree, FakeNvml([], there=False))
        assert {"gpu_clock_mhz", "gpu_slowed", "gpu_temperature_c"} <= set(health.unknown)
        assert GpuCounters("0000:3B:00.0", FakeNvml([], there=False)).energy_mj() is None

    def test_one_whose_address_is_unknown_is_not_asked(self) -> None:
        counters = GpuCounters(None, FakeNvml([1980], energy=7))
        assert counters.state() == GpuState()
        assert counters.energy_mj() is None

    @pytest.mark.parametrize("pids", [[1], [1, 2]])
    def test_others_who_have_work_on_it(self, tree: CounterTree, pids: list[int]) -> None:
        health = self.health(tree, FakeNvml([1980] * 4, users=[os.getpid(), *pids]))
        assert (health.verdict, health.signals["gpu_others"]) == ("contended", len(pids))
        assert str(len(pids)) in health.reasons[0]

    @pytest.mark.parametrize("users", [[], [1, 2], [-1]], ids=["none", "of another namespace", "not told"])
    def test_whoever_is_not_shown_its_users_cannot_say_that_it_is_quiet(
        self, tree: CounterTree, users: list[int]
    ) -> None:
        health = self.health(tree, FakeNvml([1980] * 4, users=users))
        assert health.verdict == "unknown"
        assert "gpu_others" in health.unknown
        assert "GPU" in health.reasons[0]

    def test_what_is_known_to_be_wrong_is_said_all_the_same(self, tree: CounterTree) -> None:
        assert self.health(tree, FakeNvml([1980] * 4, reasons=0x8, users=[])).verdict == "throttled"

    def test_our_own_sandboxes_pause_meanwhile(self, tree: CounterTree) -> None:
        builder = Sandbox()
        try:
            pid = builder.call(os.getpid, stage="building", limit_s=60.0)
            health = self.health(tree, FakeNvml([1980] * 4, users=[os.getpid(), pid]))
        finally:
            builder.close()
        assert health.healthy
        assert health.signals["gpu_others"] == 0

    def test_a_machine_without_one_hides_none(self, tree: CounterTree) -> None:
        assert not [name for name in after(tree).unknown if name.startswith("gpu_")]


class TestRecord:
    def test_through_json(self) -> None:
        health = Health("contended", {"others_share": 0.4}, ("clock_mhz",), ("others used 40%",))
        assert Health.from_dict(json.loads(json.dumps(health.to_dict()))) == health

    def test_a_verdict_that_there_is_not(self) -> None:
        with pytest.raises(ValueError, match="splendid"):
            Health.from_dict({"verdict": "splendid", "signals": {}, "unknown": []})

    def test_of_two_the_worse(self) -> None:
        one = Health("healthy", {"others_share": 0.01, "clock_mhz": 2000.0}, ("cooling",))
        other = Health("throttled", {"others_share": 0.0, "clock_mhz": 1500.0, "throttles": 3.0}, (), ("hot",))
        for joined in (one.merge(other), other.merge(one)):
            assert joined.verdict == "throttled"
            assert joined.signals == {"others_share": 0.01, "clock_mhz": 1500.0, "throttles": 3.0}
            assert joined.unknown == ("cooling",)
            assert joined.reasons == ("hot",)

    @pytest.mark.parametrize("name", [name for name in Tolerance.__dataclass_fields__ if name != "drift_share"])
    def test_each_tolerance_is_kept(self, name: str) -> None:
        limit = getattr(Tolerance(), name)
        quiet = {"others_share": 0.0}
        assert Tolerance().judge({**quiet, name: limit}, ()).healthy
        assert not Tolerance().judge({**quiet, name: limit * 1.1}, ()).healthy


class TestHistory:
    @pytest.fixture
    def history(self, tmp_path: Path) -> History:
        self.now_s = 1e9
        return History(tmp_path, "p" * 64, now=lambda: self.now_s)

    def test_little_is_known_at_first(self, history: History) -> None:
        for _ in range(ENOUGH - 1):
            history.remember("a", 5.0)
        assert history.drift_share("a", 50.0) is None
        history.remember("a", 5.0)
        assert history.drift_share("a", 50.0) == pytest.approx(9.0)
        assert history.drift_share("b", 50.0) is None

    def test_the_fastest_quarter_is_the_measure(self, history: History) -> None:
        for ms in (5.0, 5.0, 5.0, 7.0, 7.0, 7.0, 7.0, 7.0):
            history.remember("a", ms)
        assert history.drift_share("a", 5.0) == pytest.approx(0.0)
        assert history.drift_share("a", 7.0) == pytest.approx(0.4)

    def test_a_machine_that_stays_another_one(self, history: History) -> None:
        for ms in [5.0] * KEPT + [7.0] * KEPT:
            history.remember("a", ms)
        assert history.drift_share("a", 7.0) == pytest.approx(0.0)

    def test_what_is_long_ago_does_not_count(self, history: History) -> None:
        for _ in range(ENOUGH):
            history.remember("a", 5.0)
        self.now_s += RECENT_S + 1
        assert history.drift_share("a", 5.0) is None

    def test_it_outlives_the_process_that_measured(self, history: History, tmp_path: Path) -> None:
        for _ in range(ENOUGH):
            history.remember("a", 5.0)
        again = History(tmp_path, "p" * 64, now=lambda: self.now_s)
        assert again.drift_share("a", 5.0) == pytest.approx(0.0)
        assert History(tmp_path, "q" * 64, now=lambda: self.now_s).drift_share("a", 5.0) is None

    def test_it_does_not_grow_for_ever(self, history: History, tmp_path: Path) -> None:
        for number in range(300):
            history.remember(f"model {number}", 5.0)
        (file,) = tmp_path.iterdir()
        known = json.loads(file.read_text())
        assert "model 299" in known
        assert "model 0" not in known

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 3}', '{"a": [[1, "x"]]}', "\x00"])
    def test_a_spoilt_file_means_that_nothing_is_known(self, history: History, tmp_path: Path, content: str) -> None:
        history.remember("a", 5.0)
        (file,) = tmp_path.iterdir()
        file.write_text(content)
        assert history.drift_share("a", 5.0) is None
        history.remember("a", 5.0)

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        History(tmp_path / "absent", "p" * 64).remember("a", 5.0)


class TestRepeats:
    """What differs from moment to moment is learnt from pairs that are measured again."""

    @pytest.fixture
    def repeats(self, tmp_path: Path) -> Repeats:
        self.now_s = 1e9
        return Repeats(tmp_path, "p" * 64, now=lambda: self.now_s)

    def measured(
        self, repeats: Repeats, pair: str, ratio: float, half_width: float = 0.01, *, healthy: bool = True
    ) -> None:
        self.now_s += APART_S
        repeats.remember(pair, ratio, (ratio * (1 - half_width), ratio * (1 + half_width)), healthy=healthy)

    @pytest.mark.parametrize("healthy", [True, False])
    def test_the_expectation_holds_until_something_repeats(self, repeats: Repeats, healthy: bool) -> None:
        assert repeats.share(healthy=healthy) == pytest.approx(EXPECTED[healthy])
        for number in range(20):
            self.measured(repeats, f"pair {number}", 1.0 + number)
        assert repeats.share(healthy=healthy) == pytest.approx(EXPECTED[healthy])

    @pytest.mark.parametrize("between", [0.0, 0.02, 0.05])
    def test_it_finds_what_was_put_in(self, repeats: Repeats, between: float) -> None:
        rng = np.random.default_rng(0)
        for number in range(100):
            for _ in range(3):
                shift = between * rng.standard_normal() + 0.005 * rng.standard_normal()
                self.measured(repeats, f"pair {number}", 3.0 * math.exp(shift), half_width=0.005 * 1.96)
        assert repeats.share(healthy=True) == pytest.approx(between, abs=0.003)

    def test_unhealthy_moments_make_no_healthy_one_doubtful(self, repeats: Repeats) -> None:
        for number in range(20):
            for ratio, healthy in ((3.0, True), (3.0, True), (3.6, False)):
                self.measured(repeats, f"pair {number}", ratio, healthy=healthy)
        assert repeats.share(healthy=True) < 0.01
        assert repeats.share(healthy=False) == pytest.approx(math.log(1.2) / math.sqrt(3), rel=0.05)

    def test_one_moment_is_no_repetition(self, repeats: Repeats) -> None:
        self.measured(repeats, "a", 2.0)
        self.now_s -= APART_S / 2
        self.measured(repeats, "a", 3.0)
        assert repeats.share(healthy=True) == pytest.approx(EXPECTED[True])

    def test_what_is_vague_says_nothing(self, repeats: Repeats) -> None:
        self.measured(repeats, "a", 2.0)
        self.measured(repeats, "a", 3.0, half_width=0.04)
        assert repeats.share(healthy=True) == pytest.approx(EXPECTED[True])

    def test_a_spoilt_file_means_that_nothing_is_known(self, repeats: Repeats, tmp_path: Path) -> None:
        self.measured(repeats, "a", 2.0)
        (file,) = tmp_path.iterdir()
        file.write_text('{"a": [[1, 2]]}')
        assert repeats.share(healthy=True) == pytest.approx(EXPECTED[True])

    def test_widened_by_hand(self) -> None:
        low, high = widen(2.0, (2.0 / math.exp(0.03), 2.0 * math.exp(0.03)), 0.04 / 1.96)
        assert (low, high) == pytest.approx((2.0 / math.exp(0.05), 2.0 * math.exp(0.05)))
        assert widen(2.0, (1.9, 2.2), 0.0) == pytest.approx((1.9, 2.2))


class TestThisMachine:
    def test_it_is_read(self) -> None:
        """Whatever it exposes, and however busy it is."""
        cores = tuple(sorted(os.sched_getaffinity(0)))
        watching = Watch(cores[-1:])
        watching.look()
        health = watching.health()
        assert health.verdict in VERDICTS
        assert set(health.signals) | set(health.unknown) <= set(SIGNALS)
