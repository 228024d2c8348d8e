"""The artefacts of one user: what they put counts for their quota, and stays as long as it is used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from evaluators.devices.request import FileRef
from hwprofiles import digest_of_file
from hwprofiles.errors import StorageError
from search.artefacts.job_folders import materialise
from search.artefacts.limits import check_time, quota_bytes
from search.artefacts.store import ArtefactStore
from search.store import Store


class OwnedArtefacts:
    """The files that a user has in an artefact store. Safe for several threads and processes."""

    def __init__(self, store: Store, owner: str, artefacts: ArtefactStore) -> None:
        self._store, self._owner, self._artefacts = store, owner, artefacts

    def put(self, path: Path) -> FileRef:
        """Stores a copy of a file for the user; raises :class:`search.store.OverQuota` if they may have no more."""
        try:
            sha256, size_bytes = digest_of_file(path), path.stat().st_size
        except OSError as error:
            raise StorageError(f"file {path} cannot be read: {error.strerror}", "check its name and mode") from None
        self._store.artefacts.claim(self._owner, sha256, size_bytes, quota_bytes())
        return self._artefacts.put(path)

    def share(self, names: Collection[str]) -> None:
        """Gives the user files that others have, by SHA-256, because they see a job that names them.

        Raises :class:`search.store.OverQuota` if they may have no more.
        """
        self._store.artefacts.share(self._owner, names, quota_bytes())

    def missing(self, names: Collection[str]) -> list[str]:
        """Returns which files the user has not, by SHA-256; the others count as used now."""
        unowned = set(self._store.artefacts.renew(self._owner, names))
        return [name for name in dict.fromkeys(names) if name in unowned or not self._artefacts.contains(name)]

    def fetch(self, sha256: str) -> Path:
        """Returns a file of this machine with the content, as :meth:`ArtefactStore.fetch` does."""
        return self._artefacts.fetch(sha256)

    def folder(self, files: Mapping[str, str]) -> Path:
        """Returns the read-only folder of a job's files, as :func:`materialise` does."""
        return materialise(self._artefacts, files)

    def check_time(self) -> None:
        """Raises :class:`search.store.OverQuota` if the user's jobs have run for as long as they may."""
        check_time(self._store, self._owner)
