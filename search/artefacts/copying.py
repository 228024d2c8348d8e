"""Files copied, linked and written step by step, so that nobody sees half of one."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwprofiles import digest_of_file
from hwprofiles.errors import StorageError

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES)
"""Errors of a hard link that a copy does not have."""


@contextmanager
def scratch_file(folder: Path) -> Iterator[Path]:
    """Yields the path of a temporary file in ``folder``, not made yet; removes it afterwards if it is still there."""
    path = folder / f".{secrets.token_hex(8)}.partial"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def copy_unchanged(source: Path, target: Path, sha256: str) -> None:
    """Copies a file into a new one for its user alone; raises :class:`StorageError` unless it has this SHA-256.

    File systems that can share blocks between files do.
    """
    with source.open("rb") as reader, open(_create(target), "wb") as writer:
        _copy_blocks(reader.fileno(), writer.fileno())
    if digest_of_file(target) != sha256:
        raise StorageError(f"file {source} was changed while it was read", "try again once nobody writes it")


def link_or_copy(source: Path, target: Path) -> None:
    """Makes ``target``, which must not exist, a hard link of ``source``; a copy where there can be no link."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(_create(target))
        shutil.copyfile(source, target)


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def _copy_blocks(source: int, target: int) -> None:
    """Copies all bytes; in the kernel where it can."""
    try:
        while os.copy_file_range(source, target, 2**30):
            pass
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        os.lseek(source, 0, os.SEEK_SET)
        os.ftruncate(target, 0)
        os.lseek(target, 0, os.SEEK_SET)
        while chunk := os.read(source, 2**20):
            os.write(target, chunk)
