"""Keeps a controller's lease of its job alive, and watches for what the controller is asked to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from hwprofiles.errors import StorageError
from search.states import JobRequest
from search.store import Lease, StaleLease, Store, this_process

LEASE_S = 30.0
RENEW_S = LEASE_S / 3
LOOK_S = 1.0
"""Between two looks at what the controller is asked to do, and between attempts to renew while the database cannot be
reached."""


class LeaseKeeper:
    """The lease of a job for this process; inside the ``with`` block a thread renews it.

    ``on_request`` is called once, from that thread, when the job is to be paused or cancelled, or was taken over.
    """

    def __init__(
        self,
        store: Store,
        job_id: str,
        lease: Lease | None = None,
        on_request: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes the lease, or adopts the given one; raises :class:`search.store.JobBusy` while another process holds
        it, :class:`StaleLease` if the given one is not valid any more."""
        self._store, self._on_request = store, on_request
        if lease is None:
            lease = store.jobs.lease(job_id, this_process(), LEASE_S)
        else:
            store.jobs.adopt(lease, this_process(), LEASE_S)
        self.lease = lease
        self.requested: JobRequest | None = None
        """What the controller is asked to do."""
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

    def ask(self, request: JobRequest) -> None:
        """Asks this controller to end its work, as a row in the store would; later requests change nothing."""
        if self.requested is None:
            self.requested = request
            self._on_request()

    def renew_until(self, stop: threading.Event) -> None:
        """Renews the lease until told to stop, or until another controller has taken it.

        Tries again while the database cannot be reached: an expired lease that nobody took can still be renewed.
        """
        renew_at = time.monotonic() + RENEW_S
        while not stop.wait(LOOK_S):
            try:
                if (request := self._store.jobs.request_of(self.lease)) is not None:
                    self.ask(request)
                if time.monotonic() >= renew_at:
                    self._store.jobs.renew(self.lease, LEASE_S)
                    renew_at = time.monotonic() + RENEW_S
            except StaleLease:
                self._lost.set()
                self._on_request()
                return
            except StorageError:
                continue
