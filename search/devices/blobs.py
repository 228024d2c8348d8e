"""Files for remote devices, stored by content: a job puts them, an agent fetches them from the server."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

from evaluators.devices.request import FileRef
from hwprofiles.errors import NotFound
from search.artefacts.limits import AGENT_IDLE_S
from search.artefacts.names import is_sha256
from search.artefacts.store import ArtefactStore, artefacts_url


class Blobs:
    """The agents' area of the artefact store, which the server and its jobs share.

    Safe for several processes; raises as :class:`ArtefactStore` does.
    """

    def __init__(self) -> None:
        self._artefacts = ArtefactStore(artefacts_url("agents"))

    def put(self, path: Path) -> FileRef:
        """Stores a copy of a file."""
        return self._artefacts.put(path)

    def put_bytes(self, data: bytes) -> FileRef:
        """Stores bytes as a file."""
        return self._artefacts.put_bytes(data)

    def touch(self, file: FileRef) -> bool:
        """Restarts a file's idle time; False if it must be put for that."""
        return self._artefacts.renew(file)

    def find(self, sha256: str) -> Path | None:
        """Returns the path of a stored file; None if it is missing or the name is not a digest."""
        try:
            return self._artefacts.fetch(sha256) if is_sha256(sha256) else None
        except NotFound:
            return None

    def remove(self, files: Collection[FileRef], needed: Collection[str]) -> None:
        """Removes files, except those that requests need."""
        for file in files:
            if file.sha256 not in needed:
                self._artefacts.delete(file.sha256)

    def prune(self, needed: Collection[str], idle_s: float = AGENT_IDLE_S) -> None:
        """Removes files that no request needs and that were not put for ``idle_s`` seconds."""
        before = time.time() - idle_s
        for stored in self._artefacts.all():
            if stored.sha256 not in needed and stored.changed_at < before:
                self._artefacts.delete(stored.sha256)
