"""Who holds a lease: a process, named so that its death can be noticed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

from search.states import JobState
from search.store.columns import utc_now
from search.store.rows import JobRow, Json

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_START_TOLERANCE_S = 2.0
"""Of a start in seconds since 1970: it is reckoned from the time of boot, which moves with the clock."""


def this_process() -> Json:
    """The running process as an owner, see :func:`owner_of`."""
    return owner_of(os.getpid())


def owner_of(pid: int) -> Json:
    """A living process of this host as an owner: ``{"host": name, "pid": id, "started": seconds since 1970}``; where
    the system tells them also ``boot_id`` and ``start_ticks``, its start in ticks since that boot, which no clock
    moves."""
    owner: Json = {"host": socket.gethostname(), "pid": pid, "started": psutil.Process(pid).create_time()}
    boot_id, start_ticks = _boot_id(), _start_ticks(pid)
    if boot_id is not None and start_ticks is not None:
        owner |= {"boot_id": boot_id, "start_ticks": start_ticks}
    return owner


def has_died(owner: Json) -> bool:
    """Whether an owner is known to live no longer; a process on another host never is.

    A process id that another process has taken over since is told by its start; a zombie counts as dead. An owner that
    an earlier version wrote has its start in seconds alone.
    """
    if owner["host"] != socket.gethostname():
        return False
    boot_id = _boot_id()
    by_ticks = boot_id is not None and "start_ticks" in owner
    if by_ticks and owner["boot_id"] != boot_id:
        return True
    try:
        process = psutil.Process(owner["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        if by_ticks:
            return bool(_start_ticks(owner["pid"]) != owner["start_ticks"])
        return bool(abs(process.create_time() - owner["started"]) > _START_TOLERANCE_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def is_orphaned(job: JobRow) -> bool:
    """Whether a job counts as running, but its process has died; of one on another host, whether it has let its lease
    expire."""
    if job.state is not JobState.RUNNING:
        return False
    if job.lease_owner is None or job.lease_until is None:
        return True
    if job.lease_owner["host"] == socket.gethostname():
        return has_died(job.lease_owner)
    return job.lease_until < utc_now()


def _boot_id() -> str | None:
    """The name of the system's present run; another one after each boot."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


def _start_ticks(pid: int) -> int | None:
    """A process's start in ticks since boot; None where it is gone or the system does not tell."""
    try:
        # The command's name may hold blanks and brackets; what counts stands behind the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else None
