"""Owners of leases: processes, identified so that their death can be detected."""

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
"""Tolerance for a process's start time: it is derived from the boot time, which moves with the clock."""


def this_process() -> Json:
    """Returns the running process as an owner, see :func:`owner_of`."""
    return owner_of(os.getpid())


def owner_of(pid: int) -> Json:
    """Returns a living process of this host as an owner: ``{"host": name, "pid": id, "started": seconds since 1970}``.

    Where the system provides them also ``boot_id`` and ``start_ticks``, the start in ticks since that boot, which do
    not depend on the clock.
    """
    owner: Json = {"host": socket.gethostname(), "pid": pid, "started": psutil.Process(pid).create_time()}
    boot_id, start_ticks = _boot_id(), _start_ticks(pid)
    if boot_id is not None and start_ticks is not None:
        owner |= {"boot_id": boot_id, "start_ticks": start_ticks}
    return owner


def is_dead(owner: Json) -> bool:
    """Returns whether an owner has certainly died; False for a process on another host.

    A process id that was reused is recognised by its start; a zombie counts as dead. Owners stored by earlier versions
    have their start in seconds only.
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


def is_orphan(job: JobRow) -> bool:
    """Returns whether a job is stored as running, but its process has died (on another host: its lease has expired)."""
    if job.state is not JobState.RUNNING:
        return False
    if job.lease_owner is None or job.lease_until is None:
        return True
    if job.lease_owner["host"] == socket.gethostname():
        return is_dead(job.lease_owner)
    return job.lease_until < utc_now()


def _boot_id() -> str | None:
    """Returns the system's boot id, which changes with each boot; None if unknown."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


def _start_ticks(pid: int) -> int | None:
    """Returns a process's start in ticks since boot; None if it is gone or the system does not provide it."""
    try:
        # The command's name may contain blanks and brackets: parse behind the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else None
