"""Tells whether a stage failed because of other load on the machine."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import psutil

BUSY_SHARE = 0.5
"""Share of the usable cores: the machine is busy if other processes use more."""

WAIT_SHARE = 0.1
"""Share of a stage's time: the stage was held up if it waited longer for a core."""

MODEST_SHARE = 0.5
"""Share of the machine's memory: a stage that used more is itself the cause of a shortage."""

SHORT_SHARE = 0.05
"""Share of the machine's memory: memory is short if less is available."""

_PROC = Path("/proc")


class Pressure:
    """Load of the machine since this object was created.

    If the counters show nothing (in some containers), the machine is not blamed.
    """

    def __init__(self) -> None:
        self._began, self._busy_s, self._kills = time.monotonic(), _busy_s(), _kills()

    def starves(self, process: int) -> bool:
        """Tells whether other programs took the processor while this process and its children were ready to run.

        That is, others used most of the machine, and the process was ready but waited for a core. Waiting for anything
        else does not count.
        """
        elapsed_s = time.monotonic() - self._began
        own_s, wait_s = _own_s(process)
        others_s = _busy_s() - self._busy_s - own_s
        return others_s > BUSY_SHARE * elapsed_s * len(_cores()) and wait_s > WAIT_SHARE * elapsed_s

    def ran_out_of_memory(self, peak_bytes: int) -> bool:
        """Returns whether the system killed a process for lack of memory, and one with this peak was not the cause."""
        return _kills() > self._kills and peak_bytes < MODEST_SHARE * psutil.virtual_memory().total


def memory_is_short() -> bool:
    """Returns whether the machine has hardly any memory left, see :data:`SHORT_SHARE`."""
    memory = psutil.virtual_memory()
    return bool(memory.available < SHORT_SHARE * memory.total)


def _cores() -> set[int]:
    return os.sched_getaffinity(0)


def _busy_s() -> float:
    """Busy seconds of the cores that this process may use, since the system's start."""
    times = psutil.cpu_times(percpu=True)
    usable = [times[core] for core in _cores() if core < len(times)]
    return float(sum(sum(core) - core.idle - core.iowait - core.guest - core.guest_nice for core in usable))


def _own_s(process: int) -> tuple[float, float]:
    """Returns the seconds for which a process and its children ran, and for which they were ready but waited for a
    core."""
    ran_s = wait_s = 0.0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(process)
        for member in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error, OSError, ValueError, IndexError):
                times = member.cpu_times()
                ran_s += times.user + times.system + times.children_user + times.children_system
                tasks = (_PROC / str(member.pid) / "task").glob("*/schedstat")
                wait_s += sum(int(task.read_text().split()[1]) for task in tasks) / 1e9
    return ran_s, wait_s


def _kills() -> int:
    """Returns the number of processes that the system killed for lack of memory since its start."""
    with contextlib.suppress(OSError, ValueError):
        for line in (_PROC / "vmstat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
