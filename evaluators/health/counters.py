"""Reads a machine's counters from /proc and /sys."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from evaluators.health.files import as_number, entries_by_number, field, number
from evaluators.health.snapshot import CoreTimes, Snapshot, ThreadTimes
from hwprofiles.sysfs import ROOT, cores_in, text_at

_COUNTERS = ("core_throttle_count", "package_throttle_count")
_CPU_COOLING = ("processor", "cpufreq", "thermal-cpufreq", "cpu")
_ACTING = 10_000
"""Cooling states above this are invalid: a driver's -1, read as unsigned."""


class Counters:
    """Counters of a Linux machine as this process sees them; ``root`` holds its ``proc`` and ``sys``.

    ``ticks`` is the kernel's number of ticks per second, its unit of processor time. If a file is missing, unreadable
    or malformed, its signal is unknown; nothing is raised.
    """

    def __init__(
        self,
        root: Path = ROOT,
        *,
        ticks: int = os.sysconf("SC_CLK_TCK"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proc, self._sys = root / "proc", root / "sys"
        self._cpus = self._sys / "devices/system/cpu"
        self.ticks, self._clock = ticks, clock

    def snapshot(self, cores: tuple[int, ...]) -> Snapshot:
        """Reads all counters now; per-core clocks and throttling are read for ``cores``."""
        return Snapshot(
            at_s=self._clock(),
            cores=self._core_times(),
            own_s=self._own_s(),
            threads=dict(self._thread_times()),
            quota_s=self._quota_s(),
            clocks_mhz=tuple(mhz for core in cores if (mhz := self._clock_mhz(core)) is not None),
            throttles=self._throttles(cores),
            cooling=self._cooling(),
            temperature_c=self._temperature_c(),
            load_1m=as_number((text_at(self._proc / "loadavg") or " ").split(" ")[0]),
        )

    def siblings(self, cores: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the sibling threads of ``cores``: other hardware threads of the same physical cores."""
        threads = {
            thread
            for core in cores
            for thread in cores_in(text_at(self._cpus / f"cpu{core}/topology/thread_siblings_list"))
        }
        return tuple(sorted(threads - set(cores)))

    def base_clock_mhz(self, cores: tuple[int, ...]) -> float | None:
        """Returns the highest rated base clock of ``cores`` in MHz; None if the machine does not tell."""
        clocks_khz = [number(self._cpus / f"cpu{core}/cpufreq/base_frequency") for core in cores]
        return max((khz / 1000 for khz in clocks_khz if khz), default=None)

    def _core_times(self) -> dict[int, CoreTimes]:
        if self._own_times_alone:
            return {}
        times = {}
        for line in (text_at(self._proc / "stat") or "").splitlines():
            name, *counts = line.split()
            if not name.startswith("cpu"):
                break
            if not name[3:].isdigit() or len(counts) < 8 or not all(count.isdigit() for count in counts):
                continue
            user, nice, system, _idle, _waiting, irq, soft_irq, stolen = map(int, counts[:8])
            times[int(name[3:])] = CoreTimes((user + nice + system + irq + soft_irq) / self.ticks, stolen / self.ticks)
        return times

    @cached_property
    def _own_times_alone(self) -> bool:
        """Whether /proc/stat shows only this container's work: so does LXCFS, which hides other load."""
        for line in (text_at(self._proc / "self/mountinfo") or "").splitlines():
            mounted, _, kind = line.partition(" - ")
            if kind.startswith("fuse.lxcfs") and mounted.split()[4:5] == ["/proc/stat"]:
                return True
        return False

    def _own_s(self) -> float | None:
        # The command's name may hold blanks and brackets; behind the last bracket stand the times of the process and of
        # its children that ended.
        fields = (text_at(self._proc / "self/stat") or "").rpartition(")")[2].split()
        if len(fields) < 15 or not all(map(str.isdigit, fields[11:15])):
            return None
        return sum(map(int, fields[11:15])) / self.ticks

    def _thread_times(self) -> Iterator[tuple[int, ThreadTimes]]:
        for task in entries_by_number(self._proc / "self/task", ""):
            counts = (text_at(task / "schedstat") or "").split()
            waited = as_number(counts[1]) if len(counts) == 3 else None
            switches = as_number(field(text_at(task / "status"), "nonvoluntary_ctxt_switches"))
            yield (
                int(task.name),
                ThreadTimes(None if waited is None else waited / 1e9, None if switches is None else int(switches)),
            )

    def _quota_s(self) -> float | None:
        seconds = [_quota_stall_s(text_at(group / "cpu.stat")) for group in self._groups]
        counted = [value for value in seconds if value is not None]
        return sum(counted) if counted else None

    @cached_property
    def _groups(self) -> list[Path]:
        """The folders of this process's CPU control group and its parents, for version 1 or 2."""
        root = self._sys / "fs/cgroup"
        folders: list[Path] = []
        for line in (text_at(self._proc / "self/cgroup") or "").splitlines():
            _, controllers, path = [*line.split(":", 2), "", ""][:3]
            if ".." in path.split("/"):
                continue
            if not controllers:
                base = root
            elif "cpu" in controllers.split(","):
                base = next((b for b in (root / controllers, root / "cpu") if b.is_dir()), root / "cpu")
            else:
                continue
            own = base / path.strip("/")
            folders += [group for group in (own, *own.parents) if group == base or base in group.parents]
        return list(dict.fromkeys(folders))

    def _clock_mhz(self, core: int) -> float | None:
        khz = number(self._cpus / f"cpu{core}/cpufreq/scaling_cur_freq")
        return khz / 1000 if khz else self._cpuinfo_mhz.get(core) if self._tells_clock else None

    @cached_property
    def _tells_clock(self) -> bool:
        """Whether the clock in /proc/cpuinfo is real: a virtual machine shows a constant."""
        return "hypervisor" not in (field(text_at(self._proc / "cpuinfo"), "flags") or "").split()

    @property
    def _cpuinfo_mhz(self) -> dict[int, float]:
        clocks: dict[int, float] = {}
        for block in (text_at(self._proc / "cpuinfo") or "").split("\n\n"):
            core = as_number(field(block, "processor"))
            lines = [line.partition(":")[2] for line in block.splitlines() if line.startswith("cpu MHz")]
            mhz = as_number(lines[0]) if lines else None
            if core is not None and mhz:
                clocks[int(core)] = mhz
        return clocks

    def _throttles(self, cores: tuple[int, ...]) -> int | None:
        files = [self._cpus / f"cpu{core}/thermal_throttle/{name}" for core in cores for name in _COUNTERS]
        counts = [int(count) for file in files if (count := number(file)) is not None]
        return sum(counts) if counts else None

    def _cooling(self) -> int | None:
        states = []
        for device in entries_by_number(self._sys / "class/thermal", "cooling_device"):
            if (text_at(device / "type") or "").strip().lower().startswith(_CPU_COOLING):
                state = number(device / "cur_state")
                if state is not None and 0 <= state < _ACTING:
                    states.append(int(state))
        return max(states, default=None)

    def _temperature_c(self) -> float | None:
        zones = [number(zone / "temp") for zone in entries_by_number(self._sys / "class/thermal", "thermal_zone")]
        return max((milli / 1000 for milli in zones if milli is not None), default=None)


def _quota_stall_s(stat: str | None) -> float | None:
    micros, nanos = as_number(field(stat, "throttled_usec")), as_number(field(stat, "throttled_time"))
    return micros / 1e6 if micros is not None else nanos / 1e9 if nanos is not None else None
