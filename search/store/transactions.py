"""Transactions of the store, for reading and writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, select

from search.interrupts import deferred_interrupts
from search.store.engine import READS, WRITES, place_of
from search.store.errors import StaleLease, storage_errors
from search.store.models import Job
from search.store.rows import Lease


class Transactions:
    """Begins the transactions of all parts of a store: reading, writing, and writing a job under a lease.

    What is written inside a ``with`` block is committed, and durable, at its end; an exception leaves everything as it
    was. An interrupt is raised after the end. Safe for several threads, each transaction has a connection of its own.
    A database that cannot be reached, read or written raises :class:`hwprofiles.errors.StorageError`.
    """

    def __init__(self, engine: Engine) -> None:
        self._reader = engine.execution_options(**READS.get(engine.dialect.name, {}))
        self._writer = engine.execution_options(**WRITES)
        self._place = place_of(engine)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begins a transaction that only reads, and sees one state of the database throughout."""
        with deferred_interrupts(), storage_errors(self._place), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begins a transaction that writes; on SQLite it waits until no other one does."""
        with deferred_interrupts(), storage_errors(self._place), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Connection]:
        """Begins a transaction that writes the lease's job; raises :class:`StaleLease` if the lease is not valid.

        Valid is the lease with the job's highest epoch, until it is released: also after its time, if nobody took it.
        """
        with self.writing() as connection:
            held = select(Job.epoch).where(Job.job_id == lease.job_id, Job.lease_until.is_not(None)).with_for_update()
            if connection.execute(held).scalar_one_or_none() != lease.epoch:
                raise stale(lease)
            yield connection


def stale(lease: Lease) -> StaleLease:
    """Returns the error for a lease that is not valid any more."""
    return StaleLease(
        f"the lease of job {lease.job_id} (epoch {lease.epoch}) is not valid any more",
        f"another controller took the job over: follow it with: paretune status {lease.job_id}",
    )
