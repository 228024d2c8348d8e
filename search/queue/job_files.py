"""Whether the files of queued jobs are within a worker's reach."""

from __future__ import annotations

import time
from collections.abc import Collection

from search.artefacts.store import ArtefactStore

REMEMBERED_S = 30.0
"""Seconds after which the artefact store is asked again."""


class JobFiles:
    """Looks up which files of jobs the artefact store of this machine has, and remembers it for a while.

    Reads no file, so that a worker may ask for every queued job. Used from one thread.
    """

    def __init__(self, artefacts: ArtefactStore | None = None) -> None:
        self._artefacts = artefacts or ArtefactStore()
        self._is_there: dict[str, bool] = {}
        self._until = 0.0

    @property
    def place(self) -> str:
        """The folder or URL where files are looked up, for messages."""
        return self._artefacts.place

    def all_there(self, digests: Collection[str]) -> bool:
        """Returns whether all files are stored, by SHA-256; raises :class:`StorageError` for storage without answer."""
        if time.monotonic() >= self._until:
            self._is_there.clear()
            self._until = time.monotonic() + REMEMBERED_S
        for sha256 in digests:
            if sha256 not in self._is_there:
                self._is_there[sha256] = self._artefacts.contains(sha256)
        return all(self._is_there[sha256] for sha256 in digests)
