"""Jobs in the store: their specifications, states and leases."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from hwprofiles import Profile
from search.short_names import short_name
from search.states import JobState
from search.store import lookup, statements
from search.store.columns import utc_now
from search.store.errors import JobBusy
from search.store.models import Job
from search.store.owner import is_dead
from search.store.rows import JobRow, Json, Lease
from search.store.transactions import Transactions
from search.store.versions import JobVersion, version_of

_TRIES = 200
"""Draws of an id until a short name may be used again."""

# Fields of rows are named like the columns of tables.
_COLUMNS = [getattr(Job, field.name) for field in fields(JobRow)]


class Jobs:
    """The store's part about jobs; each method is a transaction.

    One process writes a job at a time. :meth:`lease` gives it a :class:`Lease` with the job's next epoch, which makes
    all earlier leases stale. Every method that writes an existing job takes the lease, and raises :class:`StaleLease`,
    writing nothing, unless the lease has the highest epoch and was not released. An expired lease stays valid until
    another one is taken. An id or prefix without a job raises :class:`hwprofiles.errors.NotFound`.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def create(
        self, *, name: str, spec: Json, spec_folder: str, profile: Profile, devices: Mapping[str, Profile] | None = None
    ) -> str:
        """Queues a job and returns its new id; ``profile`` becomes its device's current profile.

        ``spec`` is the resolved job file, ``spec_folder`` the folder that its relative paths start from. ``devices``
        are the profiles of all devices by label, ``profile`` first; by default it is the only one.
        """
        devices = devices or {profile.device: profile}
        with self._transactions.writing() as connection:
            statements.register(connection, *devices.values())
            job_id = _new_id(connection)
            connection.execute(
                insert(Job).values(
                    job_id=job_id,
                    name=name,
                    state=JobState.QUEUED,
                    spec=spec,
                    spec_folder=spec_folder,
                    device=next(iter(devices)),
                    profile_digest=profile.digest,
                    devices=[{"device": label, "profile_digest": p.digest} for label, p in devices.items()],
                    created_at=utc_now(),
                    wall_s=0.0,
                    epoch=0,
                )
            )
        return job_id

    def lease(self, job_id: str, owner: Json, lease_s: float = 30.0) -> Lease:
        """Takes the right to write a job for ``lease_s`` seconds; earlier leases become stale.

        ``owner`` is a process as returned by :func:`this_process`. Raises :class:`JobBusy` while another lease is
        valid, unless its owner was a process of this host that has died. Hosts that share a database need clocks that
        agree well within ``lease_s``.
        """
        with self._transactions.writing() as connection:
            held = select(Job.epoch, Job.lease_owner, Job.lease_until).where(Job.job_id == job_id).with_for_update()
            job = connection.execute(held).one_or_none()
            if job is None:
                raise lookup.no_job(job_id)
            now = utc_now()
            if job.lease_until is not None and job.lease_until > now and not is_dead(job.lease_owner):
                raise JobBusy(
                    f"job {job_id} is run by process {job.lease_owner['pid']}@{job.lease_owner['host']}",
                    f"wait for it, or end that process, then: paretune resume {job_id}",
                )
            lease = Lease(job_id, job.epoch + 1)
            until = now + timedelta(seconds=lease_s)
            _change(connection, job_id, epoch=lease.epoch, lease_owner=owner, lease_until=until)
        return lease

    def renew(self, lease: Lease, lease_s: float = 30.0) -> None:
        """Extends a lease to ``lease_s`` seconds from now, also an expired one that nobody else took."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease.job_id, lease_until=utc_now() + timedelta(seconds=lease_s))

    def release(self, lease: Lease) -> None:
        """Ends a lease; it can write nothing afterwards."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease.job_id, lease_owner=None, lease_until=None)

    def set_state(self, lease: Lease, state: JobState, *, error: str | None = None, hint: str | None = None) -> None:
        """Sets a job's state with its ``error`` and ``hint``, and its times.

        ``started_at`` is when it first ran, ``finished_at`` when it last ended (None again while it runs).
        """
        with self._transactions.holding(lease) as connection:
            values: Json = {"state": state, "error": error, "hint": hint}
            if state is JobState.RUNNING:
                values |= {"started_at": func.coalesce(Job.started_at, utc_now()), "finished_at": None}
            elif state.ended:
                values |= {"finished_at": utc_now()}
            _change(connection, lease.job_id, **values)

    def set_preparation(self, lease: Lease, *, space: Json, baseline: Json) -> None:
        """Stores a job's search space and the baseline (fp32) that its candidates are compared with."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease.job_id, space=space, baseline=baseline)

    def add_wall_time(self, lease: Lease, seconds: float) -> None:
        """Adds to the time that a job has run, over all of its controllers."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease.job_id, wall_s=Job.wall_s + seconds)

    def set_strategy_state(self, lease: Lease, state: Json) -> None:
        """Stores the strategy's state after a block was told to it."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease.job_id, strategy_state=state)

    def set_prediction(self, lease: Lease, prediction: Json) -> None:
        """Stores how accurately the layer table predicts a job's latencies."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease.job_id, prediction=prediction)

    def get(self, id_or_prefix: str) -> JobRow:
        """Returns the job whose id begins with the text, else the newest job of that name, else that of this short
        name."""
        with self._transactions.reading() as connection:
            job_id = lookup.find_job(connection, id_or_prefix)
            return JobRow(*connection.execute(select(*_COLUMNS).where(Job.job_id == job_id)).one())

    def all(self) -> list[JobRow]:
        """Returns all jobs, the newest first."""
        with self._transactions.reading() as connection:
            query = select(*_COLUMNS).order_by(Job.created_at.desc(), Job.job_id)
            return [JobRow(*row) for row in connection.execute(query)]

    def ids(self) -> list[str]:
        """Returns the ids of all jobs, the newest first."""
        with self._transactions.reading() as connection:
            query = select(Job.job_id).order_by(Job.created_at.desc(), Job.job_id)
            return list(connection.execute(query).scalars())

    def version(self, id_or_prefix: str) -> JobVersion:
        """Returns the job's version, which changes whenever the job does; much faster than reading the job."""
        with self._transactions.reading() as connection:
            return version_of(connection, lookup.find_job(connection, id_or_prefix))


def _new_id(connection: Connection) -> str:
    """Returns an id that no job has; nor, as long as some are free, does any job have its short name."""
    ids = set(connection.execute(select(Job.job_id)).scalars())
    names = set(map(short_name, ids))
    job_id = secrets.token_hex(4)
    for _ in range(_TRIES):
        if job_id not in ids and short_name(job_id) not in names:
            break
        job_id = secrets.token_hex(4)
    while job_id in ids:
        job_id = secrets.token_hex(4)
    return job_id


def _change(connection: Connection, job_id: str, **values: Any) -> None:
    """Sets columns of a job; a value may be an expression."""
    connection.execute(update(Job).where(Job.job_id == job_id).values(values))
