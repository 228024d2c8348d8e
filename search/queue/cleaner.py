"""The part of a worker that removes garbage."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from hwprofiles.errors import ParetuneError
from search.artefacts.garbage import collect_garbage
from search.artefacts.limits import GRACE_S, gc_hours
from search.folders import cache_folder
from search.store import Store

log = logging.getLogger("paretune.worker")

MARK = "last-gc"
"""Name of the file in the cache folder whose time is that of the last collection: a node has one for all workers."""


class Cleaner:
    """Does what ``paretune gc`` does, in a thread, once in ``PARETUNE_GC_HOURS`` and while its worker does nothing.

    The first time is so many hours after the first worker of a node has started. Used from one thread.
    """

    def __init__(self, store: Store) -> None:
        """Raises :class:`hwprofiles.errors.InvalidInput` for a setting that is no number."""
        self._store, self._every_s = store, 3600 * gc_hours()
        self._mark = cache_folder() / MARK
        self._thread: threading.Thread | None = None

    def step(self) -> None:
        """Begins a collection if it is time; called only while the worker is idle."""
        if not self._every_s or (self._thread is not None and self._thread.is_alive()) or not self._is_due():
            return
        self._mark.touch()
        self._thread = threading.Thread(target=self._collect, name="paretune-gc", daemon=True)
        self._thread.start()

    def stop(self, grace_s: float) -> None:
        """Waits for a collection that is under way; what it has not reached by then stays."""
        if self._thread is not None:
            self._thread.join(grace_s)

    def _is_due(self) -> bool:
        try:
            return time.time() - self._mark.stat().st_mtime >= self._every_s
        except FileNotFoundError:
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.touch()
            return False

    def _collect(self) -> None:
        try:
            garbage = collect_garbage(self._store, agent_idle_s=GRACE_S)
        except ParetuneError as error:
            log.warning("garbage: %s; %s", error.message, error.hint)
            return
        kinds = ", ".join(f"{count} of kind {kind}" for kind, count in sorted(Counter(g.kind for g in garbage).items()))
        log.info("garbage: removed %s (%d bytes)", kinds or "nothing", sum(thing.size_bytes for thing in garbage))
