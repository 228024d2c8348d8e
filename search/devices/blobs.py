"""Files for remote devices, stored by content: a job puts them, an agent fetches them from the server."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from evaluators.devices.request import FileRef
from hwprofiles import digest_of_file
from hwprofiles.errors import StorageError
from hwprofiles.folders import data_folder, make_private
from search.folders import partial_path

IDLE_S = 600.0
"""Seconds for which a file that no request needs is kept: its request may be about to be stored."""

_NAME = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """A folder of files named by their SHA-256, in the data folder that the server and its jobs share.

    Safe for several processes.
    """

    def __init__(self) -> None:
        self._folder = make_private(data_folder() / "blobs")

    def put(self, path: Path) -> FileRef:
        """Stores a copy of a file; raises :class:`StorageError` if that fails."""
        try:
            file = FileRef(digest_of_file(path), path.stat().st_size)
            if not self.touch(file):
                with _partial(self._folder / file.sha256) as partial:
                    shutil.copyfile(path, partial)
                    partial.replace(self._folder / file.sha256)
        except OSError as error:
            raise self._unwritable(error) from None
        return file

    def put_bytes(self, data: bytes) -> FileRef:
        """Stores bytes as a file, as :meth:`put` does."""
        try:
            with _partial(self._folder / "bytes") as partial:
                partial.write_bytes(data)
                return self.put(partial)
        except OSError as error:
            raise self._unwritable(error) from None

    def touch(self, file: FileRef) -> bool:
        """Restarts a file's idle time; False if it is missing or incomplete."""
        path = self._folder / file.sha256
        try:
            if path.stat().st_size != file.size_bytes:
                return False
            os.utime(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._unwritable(error) from None
        return True

    def find(self, sha256: str) -> Path | None:
        """Returns the path of a stored file; None if it is missing or the name is not a digest."""
        path = self._folder / sha256
        return path if _NAME.fullmatch(sha256) and path.is_file() else None

    def remove(self, files: Collection[FileRef], needed: Collection[str]) -> None:
        """Removes files, except those that requests need."""
        for file in files:
            if file.sha256 not in needed:
                with contextlib.suppress(OSError):
                    (self._folder / file.sha256).unlink()

    def prune(self, needed: Collection[str], idle_s: float = IDLE_S) -> None:
        """Removes files that no request needs and that were not put for ``idle_s`` seconds."""
        before = time.time() - idle_s
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if path.name not in needed and path.stat().st_mtime < before:
                    path.unlink()

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(
            f"a file cannot be put into folder {self._folder}: {error.strerror}",
            "free some space there, or set PARETUNE_HOME",
        )


@contextlib.contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """Yields a temporary file to be moved to ``path``; removes it afterwards."""
    partial = partial_path(path)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
