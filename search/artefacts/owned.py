"""The artefacts of one user: what they put counts for their quota, and stays as long as it is used."""

from __future__ import annotations

from pathlib import Path

from evaluators.devices.request import FileRef
from hwprofiles import digest_of_file
from hwprofiles.errors import StorageError
from search.artefacts.limits import quota_bytes
from search.artefacts.store import ArtefactStore
from search.store import Store


class OwnedArtefacts:
    """Puts files into an artefact store for a user. Safe for several threads and processes."""

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

    def missing(self, names: list[str]) -> list[str]:
        """Returns which files the user has not, by SHA-256; the others count as used now."""
        unowned = set(self._store.artefacts.renew(self._owner, names))
        return [name for name in dict.fromkeys(names) if name in unowned or not self._artefacts.contains(name)]
