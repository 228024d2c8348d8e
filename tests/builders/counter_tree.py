"""Recorded counters of machines: a folder with what /proc and /sys held at one moment, and moments later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

TICKS = 100

_MAIN = 4242
"""Id of the measuring process's first thread."""


class CounterTree:
    """Writes the files that a machine of ``cores`` cores shows; time passes by :meth:`passes`.

    What kind of machine it is follows from what is recorded besides: nothing of it exists until it is asked for.
    """

    def __init__(self, root: Path, cores: int = 4) -> None:
        self.root, self.now_s = root, 1000.0
        self._busy = {core: [1234, 56] for core in range(cores)}  # as user and system, in ticks
        self._stolen = dict.fromkeys(range(cores), 7)
        self._own, self._children = 300, 0
        self._threads: dict[int, list[int]] = {_MAIN: [0, 0]}  # waited ns, preemptions
        self._write_processor_times()
        self._write_own()
        self.file("proc/loadavg", "0.42 0.36 0.30 2/345 6789\n")

    @property
    def clock(self) -> Callable[[], float]:
        return lambda: self.now_s

    def file(self, path: str, content: object) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{content}\n" if not isinstance(content, str) else content)

    def passes(
        self,
        seconds: float,
        *,
        own_s: float | None = None,
        others_s: Mapping[int, float] | None = None,
        stolen_s: Mapping[int, float] | None = None,
        waited_s: float = 0.0,
        preemptions: int = 0,
        on: int = 3,
        thread: int = _MAIN,
        children_s: float = 0.0,
    ) -> None:
        """``seconds`` in which the measuring process works for ``own_s`` (all of them) on core ``on``, where its
        ``thread`` waits meanwhile, and others work as long on other cores or on this one. A child that worked for
        ``children_s`` on core ``on`` has ended."""
        own = seconds if own_s is None else own_s
        self.now_s += seconds
        self._own += round(own * TICKS)
        self._children += round(children_s * TICKS)
        self._busy[on][0] += round(own * TICKS) + round(children_s * TICKS)
        for core, other in (others_s or {}).items():
            self._busy[core][1] += round(other * TICKS)
        for core, stolen in (stolen_s or {}).items():
            self._stolen[core] += round(stolen * TICKS)
        times = self._threads.setdefault(thread, [0, 0])
        times[0] += round(waited_s * 1e9)
        times[1] += preemptions
        self._write_processor_times()
        self._write_own()

    def thread_ends(self, thread: int) -> None:
        del self._threads[thread]
        for file in (self.root / f"proc/self/task/{thread}").iterdir():
            file.unlink()
        (self.root / f"proc/self/task/{thread}").rmdir()

    def clock_mhz(self, core: int, mhz: float) -> None:
        self.file(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", round(mhz * 1000))

    def throttled(self, core: int, times: int, package: int = 0) -> None:
        folder = f"sys/devices/system/cpu/cpu{core}/thermal_throttle"
        self.file(f"{folder}/core_throttle_count", times)
        self.file(f"{folder}/package_throttle_count", package)

    def siblings(self, *cores: int) -> None:
        for core in cores:
            self.file(
                f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list", ",".join(map(str, cores)) + "\n"
            )

    def cooling(self, state: int, kind: str = "Processor") -> None:
        self.file("sys/class/thermal/cooling_device0/type", f"{kind}\n")
        self.file("sys/class/thermal/cooling_device0/cur_state", state)

    def temperature_c(self, *zones: float) -> None:
        for number, celsius in enumerate(zones):
            self.file(f"sys/class/thermal/thermal_zone{number}/temp", round(celsius * 1000))

    def quota_v2(self, throttled_s: float, group: str = "/jobs/ours") -> None:
        self.file("proc/self/cgroup", f"0::{group}\n")
        self.file(f"sys/fs/cgroup{group}/cpu.stat", f"usage_usec 5\nthrottled_usec {round(throttled_s * 1e6)}\n")

    def quota_v1(self, throttled_s: float) -> None:
        self.file("proc/self/cgroup", "5:memory:/a\n4:cpu,cpuacct:/ours\n1:name=systemd:/\n")
        self.file(
            "sys/fs/cgroup/cpu,cpuacct/ours/cpu.stat", f"nr_throttled 3\nthrottled_time {round(throttled_s * 1e9)}\n"
        )

    def cpuinfo(self, mhz: float, flags: str, cores: int = 4) -> None:
        block = "processor\t: {}\nmodel name\t: Example CPU\ncpu MHz\t\t: {:.3f}\nflags\t\t: {}\n"
        self.file("proc/cpuinfo", "\n".join(block.format(core, mhz, flags) for core in range(cores)))

    def energy_uj(self, package: int, value: int, name: str = "", highest: int = 262143328850) -> None:
        folder = f"sys/class/powercap/intel-rapl:{package}"
        self.file(f"{folder}/name", f"{name or f'package-{package}'}\n")
        self.file(f"{folder}/energy_uj", value)
        self.file(f"{folder}/max_energy_range_uj", highest)

    def _write_processor_times(self) -> None:
        rows = [
            f"cpu{core} {user} 0 {system} 99999 12 0 0 {self._stolen[core]} 0 0\n"
            for core, (user, system) in self._busy.items()
        ]
        total = "cpu  5 0 5 5 0 0 0 0 0 0\n"
        self.file("proc/stat", total + "".join(rows) + "intr 123 0 0\nctxt 456\nbtime 1700000000\n")

    def _write_own(self) -> None:
        before = "S 1 4242 4242 0 -1 4194560 100 0 0 0"
        self.file(
            "proc/self/stat", f"4242 (a (strange) name) {before} {self._own} 0 {self._children} 0 20 0 1 0 100 1 1\n"
        )
        for thread, (waited_ns, preemptions) in self._threads.items():
            folder = f"proc/self/task/{thread}"
            self.file(f"{folder}/schedstat", f"1000000 {waited_ns} 17\n")
            self.file(
                f"{folder}/status",
                f"Name:\tpython\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t{preemptions}\n",
            )
