"""Files for remote devices, by their content: put here by a job, fetched from the server by an agent."""

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
"""A file that no errand needs is kept for so long after it was put here: its errand may be about to be written."""

_NAME = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """A folder of files named by their SHA-256, in the data folder, which the server and its jobs share. Safe for
    several processes."""

    def __init__(self) -> None:
        self._folder = make_private(data_folder() / "blobs")

    def put(self, path: Path) -> FileRef:
        """Keeps a copy of a file; raises :class:`StorageError` where that is not possible."""
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
        """Keeps bytes as a file, as :meth:`put` does."""
        try:
            with _partial(self._folder / "bytes") as partial:
                partial.write_bytes(data)
                return self.put(partial)
        except OSError as error:
            raise self._unwritable(error) from None

    def touch(self, file: FileRef) -> bool:
        """Keeps a file for longer; False where it is not here, or not whole."""
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
        """Where a file lies; None if it is not here, or the name is no digest."""
        path = self._folder / sha256
        return path if _NAME.fullmatch(sha256) and path.is_file() else None

    def remove(self, files: Collection[FileRef], needed: Collection[str]) -> None:
        """Removes files, but for those that errands need."""
        for file in files:
            if file.sha256 not in needed:
                with contextlib.suppress(OSError):
                    (self._folder / file.sha256).unlink()

    def prune(self, needed: Collection[str], idle_s: float = IDLE_S) -> None:
        """Removes what no errand needs and nobody has put here for so long."""
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
    """Where to write what is put at ``path`` whole; gone afterwards."""
    partial = partial_path(path)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
