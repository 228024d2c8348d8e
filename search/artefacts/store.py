"""The artefact store: files by their SHA-256, at one URL for all machines, and the copies that this node keeps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from evaluators.devices.request import FileRef
from hwprofiles import digest_of_file
from hwprofiles.errors import StorageError
from hwprofiles.folders import cache_folder, data_folder, make_folder
from search.artefacts.backend import Backend, StoredObject
from search.artefacts.copying import scratch_file
from search.artefacts.local import LocalBackend
from search.artefacts.names import check_sha256
from search.artefacts.node_cache import NodeCache
from search.artefacts.remote import RemoteBackend


def artefacts_url(area: str = "jobs") -> str:
    """Returns where artefacts lie: below ``PARETUNE_ARTEFACTS``, else in the data folder; each area apart.

    ``jobs`` holds the files of jobs, ``agents`` those that agents fetch.
    """
    root = os.environ.get("PARETUNE_ARTEFACTS") or str(data_folder() / "artefacts")
    return f"{root.rstrip('/')}/{area}"


class ArtefactStore:
    """Files by content at a URL: a folder, ``s3://bucket/prefix``, or any other URL that fsspec knows.

    What is put stays as it is until it is deleted. Files are written atomically and checked against their hash whenever
    they are fetched. Safe for several threads, processes and machines. Raises :class:`StorageError` for storage that
    cannot be read or written, and :class:`hwprofiles.errors.NotFound` for what is not there.
    """

    def __init__(self, url: str | None = None) -> None:
        """Opens the store at ``url`` (default: :func:`artefacts_url`); raises :class:`InvalidInput` for one that cannot
        be used. Connects to nothing, and makes no folder, until something is put."""
        self._backend = _backend_of(url or artefacts_url())
        self._cache = NodeCache(cache_folder() / "artefacts")

    @property
    def place(self) -> str:
        """The folder or URL, for messages."""
        return self._backend.place

    def put(self, path: Path) -> FileRef:
        """Stores a copy of a file, unless it is there; makes its age start anew. Links are followed."""
        try:
            file = FileRef(digest_of_file(path), path.stat().st_size)
        except OSError as error:
            raise StorageError(f"file {path} cannot be read: {error.strerror}", "check its name and mode") from None
        if not self.renew(file):
            self._backend.write(file.sha256, path)
        return file

    def put_bytes(self, data: bytes) -> FileRef:
        """Stores bytes, as :meth:`put` does."""
        with scratch_file(make_folder(cache_folder() / "artefacts")) as scratch:
            try:
                scratch.touch(0o600)
                scratch.write_bytes(data)
            except OSError as error:
                raise StorageError(f"folder {scratch.parent}: {error.strerror}", "free some space there") from None
            return self.put(scratch)

    def move_in(self, path: Path, sha256: str) -> None:
        """Stores a file whose SHA-256 was checked; the file is gone afterwards."""
        self._backend.move_in(check_sha256(sha256), path)

    def renew(self, file: FileRef) -> bool:
        """Makes the age of a stored file start anew; False if it must be put for that."""
        return self._backend.renew(check_sha256(file.sha256), file.size_bytes)

    def fetch(self, sha256: str) -> Path:
        """Returns a file of this machine with the content, to be read only and not for long: it may be removed.

        Raises :class:`StorageError` for content that does not have this hash any more.
        """
        path = self._backend.path(check_sha256(sha256))
        if path is None:
            return self._cache.fetch(sha256, self._backend)
        try:
            if digest_of_file(path) == sha256:
                return path
        except FileNotFoundError:
            raise self._backend.missing(sha256) from None
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}", "check its mode, and the disk") from None
        raise self._backend.damaged(sha256)

    def contains(self, sha256: str) -> bool:
        """Returns whether a file is stored; not whether it is undamaged."""
        return self._backend.exists(check_sha256(sha256))

    def delete(self, sha256: str) -> None:
        """Deletes a file, if it is stored."""
        self._backend.delete(check_sha256(sha256))

    def all(self) -> Iterator[StoredObject]:
        """Yields all files, in no certain order."""
        return self._backend.objects()


def _backend_of(url: str) -> Backend:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        return LocalBackend(Path(rest or url).absolute())
    return RemoteBackend(url)
