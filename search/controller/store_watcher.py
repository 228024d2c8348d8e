"""Writes the status of a search to the store and the log, for watchers on other machines."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import asdict

from hwprofiles.errors import StorageError
from search.controller.progress import Status, Watcher
from search.fronts.objectives import metric_value
from search.store import Lease, StaleLease, Store, TrialRow

log = logging.getLogger("paretune.controller")

PROGRESS_EVERY_S = 1.0
"""Between two statuses that are stored, at least."""


class StoreWatcher(Watcher):
    """Stores notes, changes of phase and candidates as lines of the job's log, and the newest status as its progress.

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
        if changed:
            self._add(f"{status.phase}: {status.message}".rstrip(": "))
        with suppress(StorageError, StaleLease):
            self._store.jobs.set_progress(self._lease, asdict(status))
        self._phase, self._stored_at = status.phase, time.monotonic()

    def note(self, text: str) -> None:
        """Receives a line that should stay visible."""
        self._add(text)

    def candidate(self, row: TrialRow) -> None:
        """Receives a candidate that has just been finished."""
        speedup = metric_value(row.metrics, "speedup")
        figure = f", {speedup:.2f}x" if speedup is not None else ""
        reason = f": {row.reason}" if row.reason else ""
        level = logging.INFO if row.state.measured else logging.WARNING
        self._add(f"trial {row.number} is {row.state}{figure}{reason}", level, row.candidate_id)

    def _add(self, text: str, level: int = logging.INFO, candidate_id: str | None = None) -> None:
        ids = {"job_id": self._lease.job_id} | ({"candidate_id": candidate_id} if candidate_id else {})
        log.log(level, "%s", text, extra=ids)
        with suppress(StorageError, StaleLease):
            self._store.logs.add(self._lease, text, logging.getLevelName(level).lower(), candidate_id)
