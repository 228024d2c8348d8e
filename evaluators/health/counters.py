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
"""Cooling states beyond this are no states: a driver's -1, read as unsigned."""


class Counters:
    """The counters of a Linux machine as the process that asks sees them: ``root`` holds its ``proc`` and ``sys``.

    ``ticks`` are the kernel's per second, in which it counts processor time. Every file may be missing, unreadable or
    of another form: then its signal is unknown, and nothing is raised.
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
        """The counters now; what belongs to single cores is read for ``cores``."""
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
        """The other hardware threads of the physical cores that ``cores`` are on."""
        found = {
            other
            for core in cores
            for other in cores_in(text_at(self._cpus / f"cpu{core}/topology/thread_siblings_list"))
        }
        return tuple(sorted(found - set(cores)))

    def base_clock_mhz(self, cores: tuple[int, ...]) -> float | None:
        """The lowest clock that the maker promises under load for all of ``cores``, where the machine tells."""
        found = [number(self._cpus / f"cpu{core}/cpufreq/base_frequency") for core in cores]
        known = [khz for khz in found if khz]
        return max(known) / 1000 if known else None

    def _core_times(self) -> dict[int, CoreTimes]:
        if self._own_times_alone:
            return {}
        found = {}
        for line in (text_at(self._proc / "stat") or "").splitlines():
            name, *counts = line.split()
            if not name.startswith("cpu"):
                break
            if not name[3:].isdigit() or len(counts) < 8 or not all(count.isdigit() for count in counts):
                continue
            user, nice, system, _idle, _waiting, irq, soft_irq, stolen = map(int, counts[:8])
            found[int(name[3:])] = CoreTimes((user + nice + system + irq + soft_irq) / self.ticks, stolen / self.ticks)
        return found

    @cached_property
    def _own_times_alone(self) -> bool:
        """Whether /proc/stat shows a container's own work in the place of the cores': LXCFS, a file system, puts it
        there, and nothing in it tells of others."""
        for line in (text_at(self._proc / "self/mountinfo") or "").splitlines():
            mounted, _, kind = line.partition(" - ")
            if kind.startswith("fuse.lxcfs") and mounted.split()[4:5] == ["/proc/stat"]:
                return True
        return False

    def _own_s(self) -> float | None:
        # The command's name may hold blanks and brackets; what counts stands behind the last bracket: the process's
        # time, and that of its children that ended.
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
        found = [
            seconds for group in self._groups if (seconds := _throttled_by_quota_s(text_at(group / "cpu.stat"))) is not None
        ]
        return sum(found) if found else None

    @cached_property
    def _groups(self) -> list[Path]:
        """The folders of this process's processor control group and of all above it, of either version."""
        root = self._sys / "fs/cgroup"
        found: list[Path] = []
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
            found += [group for group in (own, *own.parents) if group == base or base in group.parents]
        return list(dict.fromkeys(found))

    def _clock_mhz(self, core: int) -> float | None:
        khz = number(self._cpus / f"cpu{core}/cpufreq/scaling_cur_freq")
        return khz / 1000 if khz else self._cpuinfo_mhz.get(core) if self._tells_clock else None

    @cached_property
    def _tells_clock(self) -> bool:
        """A guest is shown a constant instead of its clock."""
        return "hypervisor" not in (field(text_at(self._proc / "cpuinfo"), "flags") or "").split()

    @property
    def _cpuinfo_mhz(self) -> dict[int, float]:
        found: dict[int, float] = {}
        for block in (text_at(self._proc / "cpuinfo") or "").split("\n\n"):
            core = as_number(field(block, "processor"))
            lines = [line.partition(":")[2] for line in block.splitlines() if line.startswith("cpu MHz")]
            mhz = as_number(lines[0]) if lines else None
            if core is not None and mhz:
                found[int(core)] = mhz
        return found

    def _throttles(self, cores: tuple[int, ...]) -> int | None:
        found = [number(self._cpus / f"cpu{core}/thermal_throttle/{name}") for core in cores for name in _COUNTERS]
        known = [int(count) for count in found if count is not None]
        return sum(known) if known else None

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


def _throttled_by_quota_s(stat: str | None) -> float | None:
    micros, nanos = as_number(field(stat, "throttled_usec")), as_number(field(stat, "throttled_time"))
    return micros / 1e6 if micros is not None else nanos / 1e9 if nanos is not None else None
