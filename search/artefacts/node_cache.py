"""Copies of artefacts on this node."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hwprofiles import digest_of_file
from hwprofiles.errors import StorageError
from hwprofiles.folders import make_folder
from search.artefacts.backend import Backend, object_name
from search.artefacts.copying import scratch_file

MAX_BYTES = 20 * 2**30
"""Size of the copies at which the least recently used go."""

_IN_USE_S = 3600.0
"""Copies used within these seconds stay."""


class NodeCache:
    """A folder of copies, each checked against its hash whenever it is used. Safe for several threads and processes."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._max_bytes = folder, max_bytes

    def fetch(self, sha256: str, backend: Backend) -> Path:
        """Returns the copy of an object, which is read from the backend if it is missing or damaged.

        Raises as :meth:`Backend.read` does, and :class:`StorageError` if what is read does not have this hash, or
        cannot be written here.
        """
        path = self._folder / object_name(sha256)
        try:
            if _is_whole(path, sha256):
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
                return path
            with scratch_file(make_folder(path.parent)) as scratch:
                backend.read(sha256, scratch)
                if digest_of_file(scratch) != sha256:
                    raise backend.damaged(sha256)
                scratch.chmod(0o400)
                scratch.replace(path)
            self._make_room(path)
        except OSError as error:
            raise StorageError(
                f"cache folder {self._folder}: {error.strerror or error}", "free some space there, or set PARETUNE_HOME"
            ) from None
        return path

    def _make_room(self, kept: Path) -> None:
        """Removes the least recently used copies beyond the limit."""
        copies = sorted(self._copies())
        used = sum(size_bytes for _, size_bytes, _ in copies)
        for used_at, size_bytes, path in copies:
            if used <= self._max_bytes or used_at > time.time() - _IN_USE_S:
                return
            if path != kept:
                path.unlink(missing_ok=True)
                used -= size_bytes

    def _copies(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._folder.glob("??/??/*"):
            with suppress(FileNotFoundError):
                stat = path.stat()
                yield stat.st_atime, stat.st_size, path


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return digest_of_file(path) == sha256
    except FileNotFoundError:
        return False
