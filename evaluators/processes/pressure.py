"""What else happened on the machine during a stage: whether it is to blame that the stage came to nothing."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import psutil

BUSY_SHARE = 0.5
"""Of the cores that this process may use: others' work above it makes the machine busy."""

WAIT_SHARE = 0.1
"""Of a stage's time: a stage that was ready to run and waited longer than that was kept waiting."""

MODEST_SHARE = 0.5
"""Of the machine's memory: a stage that used more is at fault itself when there is none left."""

SHORT_SHARE = 0.05
"""Of the machine's memory: less than that to be had is short."""

_PROC = Path("/proc")


class Pressure:
    """Reads the machine's counters when it is made, and says later what they have come to. What they do not show (all
    of it, in some containers) is not held against the machine."""

    def __init__(self) -> None:
        self._began, self._busy_s, self._kills = time.monotonic(), _busy_s(), _kills()

    def starved(self, process: int) -> bool:
        """Whether others kept this process, and what it started, from running: most of the machine was theirs, and it
        was ready and waited. One that waits for something else is not starved."""
        passed_s = time.monotonic() - self._began
        own_s, wait_s = _own_s(process)
        others_s = _busy_s() - self._busy_s - own_s
        return others_s > BUSY_SHARE * passed_s * len(_cores()) and wait_s > WAIT_SHARE * passed_s

    def killed_for_memory(self, peak_bytes: int) -> bool:
        """Whether the system has killed a process for want of memory since, and one of this size is not to blame."""
        return _kills() > self._kills and peak_bytes < MODEST_SHARE * psutil.virtual_memory().total


def memory_is_short() -> bool:
    """Whether the machine has hardly any memory left."""
    memory = psutil.virtual_memory()
    return bool(memory.available < SHORT_SHARE * memory.total)


def _cores() -> set[int]:
    return os.sched_getaffinity(0)


def _busy_s() -> float:
    """Seconds that the cores which this process may use were at work since the system started."""
    times = psutil.cpu_times(percpu=True)
    known = [times[core] for core in _cores() if core < len(times)]
    return float(sum(sum(core) - core.idle - core.iowait - core.guest - core.guest_nice for core in known))


def _own_s(process: int) -> tuple[float, float]:
    """Seconds for which a process and what it started have run, and for which they were ready and waited."""
    ran_s = wait_s = 0.0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(process)
        for one in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error, OSError, ValueError, IndexError):
                times = one.cpu_times()
                ran_s += times.user + times.system + times.children_user + times.children_system
                tasks = (_PROC / str(one.pid) / "task").glob("*/schedstat")
                wait_s += sum(int(task.read_text().split()[1]) for task in tasks) / 1e9
    return ran_s, wait_s


def _kills() -> int:
    """How many processes the system has killed for want of memory since it started."""
    with contextlib.suppress(OSError, ValueError):
        for line in (_PROC / "vmstat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
