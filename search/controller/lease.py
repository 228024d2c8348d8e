"""Keeps a controller's lease of its job alive."""

from __future__ import annotations

import threading
from typing import Self

from hwprofiles.errors import StorageError
from search.store import StaleLease, Store, this_process

LEASE_S = 30.0
RENEW_S = LEASE_S / 3
RENEW_AGAIN_S = 1.0
"""Between attempts to renew while the database cannot be reached."""


class LeaseKeeper:
    """The lease of a job for this process; inside the ``with`` block a thread renews it."""

    def __init__(self, store: Store, job_id: str) -> None:
        """Takes the lease; raises :class:`search.store.JobBusy` while another process holds it."""
        self._store = store
        self.lease = store.jobs.lease(job_id, this_process(), LEASE_S)
        self._lost, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self.renew_until, args=(self._stop,), daemon=True)

    @property
    def is_lost(self) -> bool:
        """Whether another controller has taken the lease."""
        return self._lost.is_set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def renew_until(self, stop: threading.Event) -> None:
        """Renews the lease until told to stop, or until another controller has taken it.

        Tries again while the database cannot be reached: an expired lease that nobody took can still be renewed.
        """
        wait_s = RENEW_S
        while not stop.wait(wait_s):
            try:
                self._store.jobs.renew(self.lease, LEASE_S)
                wait_s = RENEW_S
            except StaleLease:
                self._lost.set()
                return
            except StorageError:
                wait_s = RENEW_AGAIN_S
