"""Locks between processes: one measurement a device at a time, and quiet while it runs.

All are advisory ``flock`` locks on files of this machine, freed by the system when a process ends in whatever way.
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

_HINT = "set TMPDIR to a folder of your own, the same one for all of your jobs on this machine"


def lock_folder() -> Path:
    """A folder that all processes of this user on this machine share, whatever database their jobs use.

    Raises :class:`StorageError` for one that others made, or could have put something into: anybody may make a folder
    of this name in the system's temporary one.
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
        raise StorageError(f"folder {folder} cannot be made: {error.strerror}", _HINT) from None
    raise StorageError(f"{folder} is no folder that only you can write to", f"remove it, or {_HINT}")


def _open(name: str) -> TextIO:
    """A lock's file, made where it is missing; never one that lies elsewhere, and nothing in it is lost."""
    path = lock_folder() / name
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+")
    except OSError as error:
        raise StorageError(f"lock {path} cannot be opened: {error.strerror}", f"remove it, or {_HINT}") from None


@contextmanager
def _locked(name: str, operation: int) -> Iterator[None]:
    with _open(name) as file:
        fcntl.flock(file, operation)
        yield


@contextmanager
def _alone(name: str) -> Iterator[None]:
    with _open(name) as file:
        _take(file)
        yield


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Held while something is made that several processes may want: the others wait, and then find it there. Waiting
    counts against no limit."""
    with _alone(f"{name}.lock"):
        yield


def _take(file: TextIO) -> None:
    """The lock for oneself alone; waiting for it counts against no limit."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with waiting():
            fcntl.flock(file, fcntl.LOCK_EX)


@contextmanager
def exclusive_device(profile: Profile) -> Iterator[None]:
    """Holds the device: one file a core set, taken in order, so that overlapping sets exclude one another too."""
    if not profile.cores:
        with _alone(f"{profile.device}.lock"):
            yield
        return
    files = [_open(f"core-{core}.lock") for core in sorted(profile.cores)]
    try:
        for file in files:
            _take(file)
        yield
    finally:
        for file in reversed(files):  # whoever waits for the first then finds all of them free
            file.close()


@contextmanager
def measuring() -> Iterator[None]:
    """The quiet token: waits for work on this machine to pause, and keeps it paused.

    The turnstile keeps workers from coming back in while the measurement waits.
    """
    with _alone(_TURNSTILE), _alone(_QUIET):
        yield


@contextmanager
def working() -> Iterator[None]:
    """Held by our own work on this machine, for one batch at a time; waits while a measurement runs.

    Held once a thread: inside itself it does nothing, since whoever holds the quiet lock and waits at the turnstile
    waits for a measurement that waits for him.
    """
    if _held() is not None:
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
    """Between batches, inside or outside :func:`working`: lets a measurement that waits go first."""
    file = _held()
    if file is None:
        with working():
            return
    fcntl.flock(file, fcntl.LOCK_UN)
    _join(file)


_thread = threading.local()


def _held() -> TextIO | None:
    return getattr(_thread, "file", None)


def _join(file: TextIO) -> None:
    try:
        _join_by(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with waiting():
            _join_by(file, fcntl.LOCK_SH)


def _join_by(file: TextIO, operation: int) -> None:
    with _locked(_TURNSTILE, operation):
        pass
    fcntl.flock(file, operation)
