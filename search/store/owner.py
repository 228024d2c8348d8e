"""Who holds a lease: a process, named so that its death can be noticed."""

from __future__ import annotations

import os
import socket

import psutil

from search.store.rows import Json

# A process's start is reckoned from the time of boot, which moves with the clock by fractions of a second.
_START_TOLERANCE_S = 2.0


def this_process() -> Json:
    """The running process as an owner: ``{"host": name, "pid": id, "started": seconds since 1970}``."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def has_died(owner: Json) -> bool:
    """Whether an owner is known to live no longer; a process on another host never is.

    A process id that another process has taken over since is told by its start; a zombie counts as dead.
    """
    if owner["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(owner["pid"])
        started, status = process.create_time(), process.status()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return status == psutil.STATUS_ZOMBIE or abs(started - owner["started"]) > _START_TOLERANCE_S
