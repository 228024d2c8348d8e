"""Files for remote devices, by their content: put here by a job, fetched from the server by an agent."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from evaluators.errand import FileRef
from hwprofiles import digest_of_file
from hwprofiles.errors import StorageError
from hwprofiles.folders import data_folder, made
from search.folders import partial_path

IDLE_S = 600.0
"""A file that no errand needs is kept for so long after it was put here: its errand may be about to be written."""

_NAME = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """A folder of files named by their SHA-256, in the data folder, which the server and its jobs share. Safe for
    several processes."""

    def __init__(self) -> None:
        self._folder = made(data_folder() / "blobs")

    def put(self, path: Path) -> FileRef:
        """Keeps a copy of a file."""
        file = FileRef(digest_of_file(path), path.stat().st_size)
        target = self._folder / file.sha256
        if not self._touched(target):
            partial = partial_path(target)
            try:
                shutil.copyfile(path, partial)
                partial.replace(target)
            except OSError as error:
                raise _unwritable(target, error) from None
            finally:
                partial.unlink(missing_ok=True)
        return file

    def put_bytes(self, data: bytes) -> FileRef:
        """Keeps bytes as a file."""
        partial = partial_path(self._folder / "bytes")
        try:
            partial.write_bytes(data)
            return self.put(partial)
        except OSError as error:
            raise _unwritable(partial, error) from None
        finally:
            partial.unlink(missing_ok=True)

    def find(self, sha256: str) -> Path | None:
        """Where a file lies; None if it is not here, or the name is no digest."""
        path = self._folder / sha256
        return path if _NAME.fullmatch(sha256) and path.is_file() else None

    def remove(self, files: Collection[FileRef], needed: Collection[str]) -> None:
        """Removes files, but for those that errands need."""
        for file in files:
            if file.sha256 not in needed:
                (self._folder / file.sha256).unlink(missing_ok=True)

    def prune(self, needed: Collection[str], idle_s: float = IDLE_S) -> None:
        """Removes what no errand needs and nobody has put here for so long."""
        before = time.time() - idle_s
        for path in self._folder.iterdir():
            try:
                if path.name not in needed and path.stat().st_mtime < before:
                    path.unlink()
            except FileNotFoundError:
                continue

    @staticmethod
    def _touched(path: Path) -> bool:
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"folder {path.parent} cannot be written: {error.strerror}", "free some space there, or set PARETUNE_HOME"
    )
