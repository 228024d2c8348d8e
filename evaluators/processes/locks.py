"""Locks between processes: one measurement per device at a time, and no other work of ours meanwhile.

All are advisory ``flock`` locks on files of this machine; the system releases them when a process ends for any reason.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from evaluators.processes.sandbox_child import waiting
from hwprofiles import Profile
from hwprofiles.errors import StorageError

_TURNSTILE, _QUIET = "turnstile.lock", "quiet.lock"

_OTHERS, _OTHERS_WRITE = 0o077, 0o022

_HINT = "set TMPDIR to a folder of your own, the same for all jobs on this machine"


def lock_folder() -> Path:
    """Returns the folder of locks that all processes of this user on this machine share, for all databases.

    Raises :class:`StorageError` if another user made it or could write to it: anybody can create a folder of this name
    in the system's temporary folder.
    """
    folder = Path(tempfile.gettempdir()) / f"paretune-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & _OTHERS_WRITE:
            if status.st_mode & _OTHERS:
                folder.chmod(0o700)
            return folder
    except OSError as error:
        raise StorageError(f"folder {folder} cannot be created: {error.strerror}", _HINT) from None
    raise StorageError(f"{folder} is not a folder that only you can write to", f"remove it, or {_HINT}")


def _open(name: str) -> TextIO:
    """Opens a lock's file, created if missing; never follows a link and never truncates."""
    path = lock_folder() / name
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+")
    except OSError as error:
        raise StorageError(f"lock {path} cannot be opened: {error.strerror}", f"remove it, or {_HINT}") from None


@contextmanager
def _hold(name: str, operation: int) -> Iterator[None]:
    with _open(name) as file:
        fcntl.flock(file, operation)
        yield


@contextmanager
def _hold_exclusively(name: str) -> Iterator[None]:
    with _open(name) as file:
        _take(file)
        yield


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Lets one process at a time make something that several may need; the others wait, then find it made.

    Waiting counts against no time limit.
    """
    with _hold_exclusively(f"{name}.lock"):
        yield


def _take(file: TextIO) -> None:
    """Takes an exclusive lock; waiting counts against no time limit."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with waiting():
            fcntl.flock(file, fcntl.LOCK_EX)


@contextmanager
def exclusive_device(profile: Profile) -> Iterator[None]:
    """Holds the device: one lock per core, taken in order, so that overlapping core sets exclude one another, too."""
    if not profile.cores:
        with _hold_exclusively(f"{profile.device}.lock"):
            yield
        return
    files = [_open(f"core-{core}.lock") for core in sorted(profile.cores)]
    try:
        for file in files:
            _take(file)
        yield
    finally:
        for file in reversed(files):  # so that a process that waits for the first finds all free
            file.close()


@contextmanager
def measuring() -> Iterator[None]:
    """Holds the quiet token: waits until our work on this machine pauses, and keeps it paused.

    The turnstile keeps workers from resuming while the measurement waits.
    """
    with _hold_exclusively(_TURNSTILE), _hold_exclusively(_QUIET):
        yield


@contextmanager
def working() -> Iterator[None]:
    """Marks our own work on this machine, one batch at a time; waits while a measurement runs.

    Nested use in one thread does nothing: a thread that held the quiet lock and waited at the turnstile would wait for
    a measurement that waits for that thread.
    """
    if _working_file() is not None:
        yield
        return
    with _open(_QUIET) as file:
        _join(file)
        _thread.file = file
        try:
            yield
        finally:
            _thread.file = None


def pause_point() -> None:
    """Lets a waiting measurement go first; called between batches, inside or outside :func:`working`."""
    file = _working_file()
    if file is None:
        with working():
            return
    fcntl.flock(file, fcntl.LOCK_UN)
    _join(file)


_thread = threading.local()


def _working_file() -> TextIO | None:
    return getattr(_thread, "file", None)


def _join(file: TextIO) -> None:
    try:
        _join_by(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with waiting():
            _join_by(file, fcntl.LOCK_SH)


def _join_by(file: TextIO, operation: int) -> None:
    with _hold(_TURNSTILE, operation):
        pass
    fcntl.flock(file, operation)
