"""Uploads: files that arrive in parts, and go on after a lost connection where they stopped."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hwprofiles import digest_of_file
from hwprofiles.errors import InvalidInput, NotFound, ParetuneError, StorageError
from hwprofiles.folders import data_folder, make_private
from search.artefacts.job_files import MAX_FILE_BYTES
from search.artefacts.limits import MAX_OPEN_UPLOADS, quota_bytes
from search.artefacts.names import check_sha256
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.store import ArtefactStore
from search.store import Store
from search.store.artefacts import UploadRow

_SPARE_BYTES = 2**30
"""What an upload must leave free on the disk."""


class WrongOffset(ParetuneError):
    """Raised for a part that does not join what has arrived."""


@dataclass(frozen=True)
class Progress:
    """How far an upload is."""

    upload_id: str | None
    """None once the file is stored: then the upload is over."""
    sha256: str
    size_bytes: int
    received_bytes: int


class Uploads:
    """Receives users' files into an artefact store. Safe for several threads, and for processes that share a data
    folder; what has arrived of a file is in a file of that folder, and lasts until the upload is over.

    A user's upload is nobody else's: :class:`NotFound`. Raises :class:`StorageError` for a folder that cannot be
    written.
    """

    def __init__(self, store: Store, artefacts: ArtefactStore) -> None:
        self._store, self._artefacts = store, artefacts
        self._folder = data_folder() / "uploads"

    def begin(self, owner: str, sha256: str, size_bytes: int) -> Progress:
        """Announces a file; nothing is to be sent if the user has it already. Idempotent.

        Raises :class:`InvalidInput` for what is no SHA-256 or too large, :class:`search.store.OverQuota`.
        """
        check_sha256(sha256)
        if not 0 <= size_bytes <= MAX_FILE_BYTES:
            raise InvalidInput(f"a file of {size_bytes} bytes is not accepted", f"at most {MAX_FILE_BYTES} bytes")
        if not OwnedArtefacts(self._store, owner, self._artefacts).missing([sha256]):
            return Progress(None, sha256, size_bytes, size_bytes)
        if shutil.disk_usage(make_private(self._folder)).free < size_bytes + _SPARE_BYTES:
            raise StorageError(f"there is no room for {size_bytes} bytes", "ask the operator to free some space")
        row = self._store.artefacts.begin(owner, sha256, size_bytes, quota_bytes(), MAX_OPEN_UPLOADS)
        try:
            self._path(row.upload_id).touch(0o600)
        except OSError as error:
            raise self._unusable(error) from None
        progress = self._progress(row)
        return self._finish(row) if progress.received_bytes == row.size_bytes else progress

    def progress(self, owner: str, upload_id: str) -> Progress:
        """Returns how far an upload is."""
        return self._progress(self._store.artefacts.upload(owner, upload_id))

    def part(self, owner: str, upload_id: str, offset: int) -> Part:
        """Returns where a part of a file is written to that begins at ``offset`` bytes.

        Raises :class:`WrongOffset` for a part that begins after what has arrived.
        """
        row = self._store.artefacts.upload(owner, upload_id)
        received = self._progress(row).received_bytes
        if not 0 <= offset <= received:
            raise WrongOffset(f"the part begins at byte {offset}, but {received} have arrived", f"go on at {received}")
        return Part(self._path(upload_id), offset, row.size_bytes)

    def end_part(self, owner: str, upload_id: str) -> Progress:
        """Returns how far an upload is after a part of it; stores the file if it is complete.

        Raises :class:`InvalidInput`, and gives the upload up, if the file does not have the announced hash.
        """
        row = self._store.artefacts.upload(owner, upload_id)
        self._store.artefacts.note_part(upload_id)
        progress = self._progress(row)
        return self._finish(row) if progress.received_bytes == row.size_bytes else progress

    def give_up(self, owner: str, upload_id: str) -> None:
        """Ends an upload and removes what has arrived."""
        self._remove(self._store.artefacts.upload(owner, upload_id).upload_id)

    def remove_idle(self, idle_s: float, *, dry_run: bool = False) -> dict[str, int]:
        """Ends the uploads of which nothing has arrived for so long; returns what had arrived of them, in bytes."""
        known, idle = self._store.artefacts.upload_ids(), self._store.artefacts.idle_uploads(idle_s)
        old = [path for path in self._folder.glob("*") if path.stat().st_mtime < time.time() - idle_s]
        left = [path.name for path in old if path.name not in known]
        sizes = {upload_id: self._received(upload_id) for upload_id in (*idle, *left)}
        for upload_id in () if dry_run else sizes:
            self._remove(upload_id)
        return sizes

    def _finish(self, row: UploadRow) -> Progress:
        path = self._path(row.upload_id)
        try:
            with _locked(path):
                if digest_of_file(path) != row.sha256:
                    self._remove(row.upload_id)
                    raise InvalidInput("what has arrived does not have the announced SHA-256", "send the file again")
                self._store.artefacts.complete(row)
                self._artefacts.move_in(path, row.sha256)
        except FileNotFoundError:  # another request was first
            raise _over(self._path(row.upload_id)) from None
        except OSError as error:
            raise self._unusable(error) from None
        self._store.artefacts.end_upload(row.upload_id)
        return Progress(None, row.sha256, row.size_bytes, row.size_bytes)

    def _progress(self, row: UploadRow) -> Progress:
        return Progress(row.upload_id, row.sha256, row.size_bytes, self._received(row.upload_id))

    def _received(self, upload_id: str) -> int:
        try:
            return self._path(upload_id).stat().st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self._unusable(error) from None

    def _remove(self, upload_id: str) -> None:
        self._store.artefacts.end_upload(upload_id)
        try:
            self._path(upload_id).unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from None

    def _path(self, upload_id: str) -> Path:
        return self._folder / upload_id

    def _unusable(self, error: OSError) -> StorageError:
        return StorageError(f"folder {self._folder}: {error.strerror}", "free some space there, or set PARETUNE_HOME")


class Part:
    """A part of a file as it arrives. Owned by one thread at a time; other requests may send the same bytes."""

    def __init__(self, path: Path, offset: int, size_bytes: int) -> None:
        self._path, self._offset, self._size_bytes = path, offset, size_bytes

    def write(self, data: bytes) -> None:
        """Adds the next bytes; those that have arrived already are skipped.

        Raises :class:`InvalidInput` beyond the announced size.
        """
        if self._offset + len(data) > self._size_bytes:
            raise InvalidInput(f"the file is larger than the {self._size_bytes} bytes announced", "announce its size")
        try:
            with _locked(self._path) as file:
                received = os.fstat(file).st_size
                if received < self._offset:
                    raise WrongOffset(f"only {received} bytes have arrived", f"go on at {received}")
                rest = memoryview(data)[received - self._offset :]
                while rest:
                    rest = rest[os.pwrite(file, rest, os.fstat(file).st_size) :]
        except FileNotFoundError:
            raise _over(self._path) from None
        except OSError as error:
            raise StorageError(f"{self._path.parent}: {error.strerror}", "free some space there") from None
        self._offset += len(data)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Opens a file for one process and thread at a time."""
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _over(path: Path) -> NotFound:
    return NotFound(f"upload {path.name} is over", "announce the file again to learn whether it is stored")
