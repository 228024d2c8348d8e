"""Transactions of the store, for reading and writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection, select

from search.store.engine import WRITES, open_engine, place_of
from search.store.errors import StaleLease, storage_errors
from search.store.models import Job
from search.store.rows import Lease

Transaction = Callable[[], AbstractContextManager[Connection]]
"""Begins a transaction; parts of the store that are objects of their own reach the database through it."""


class Transactions:
    """A database, and three kinds of transaction: reading, writing, and writing a job under a lease.

    Any database that cannot be reached, read or written raises :class:`hwprofiles.errors.StorageError`.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._writer = self._engine.execution_options(**WRITES)
        self._place = place_of(self._engine)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with storage_errors(self._place), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with storage_errors(self._place), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _holding(self, lease: Lease) -> Iterator[Connection]:
        """Begins a transaction that writes the lease's job; raises :class:`StaleLease` if the lease is not valid."""
        with self._writing() as connection:
            held = select(Job.epoch).where(Job.job_id == lease.job_id, Job.lease_until.is_not(None)).with_for_update()
            if connection.execute(held).scalar_one_or_none() != lease.epoch:
                raise StaleLease(
                    f"the lease of job {lease.job_id} (epoch {lease.epoch}) is not valid any more",
                    f"another controller took the job over: follow it with: paretune status {lease.job_id}",
                )
            yield connection
