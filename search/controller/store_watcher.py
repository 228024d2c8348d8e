"""Writes the status of a search to the store, for watchers on other machines."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict

from hwprofiles.errors import StorageError
from search.controller.progress import Status, Watcher
from search.store import Lease, StaleLease, Store

PROGRESS_EVERY_S = 1.0
"""Between two statuses that are stored, at least."""


class StoreWatcher(Watcher):
    """Stores notes and changes of phase as lines of the job's log, and the newest status as its progress.

    What cannot be stored is left out: a search does not end because its watchers miss a line.
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store, self._lease = store, lease
        self._phase, self._stored_at = "", 0.0

    def update(self, status: Status) -> None:
        """Receives a new status."""
        changed = status.phase != self._phase
        if not changed and time.monotonic() - self._stored_at < PROGRESS_EVERY_S:
            return
        with suppress(StorageError, StaleLease):
            if changed:
                self._store.logs.add(self._lease, f"{status.phase}: {status.message}".rstrip(": "))
            self._store.jobs.set_progress(self._lease, asdict(status))
        self._phase, self._stored_at = status.phase, time.monotonic()

    def note(self, text: str) -> None:
        """Receives a line that should stay visible."""
        with suppress(StorageError, StaleLease):
            self._store.logs.add(self._lease, text)
