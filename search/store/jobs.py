"""Jobs in the store: their specifications, states and leases."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from hwprofiles import Profile
from hwprofiles.errors import InvalidInput, StorageError
from search.short_names import short_name
from search.states import JobRequest, JobState
from search.store import lookup, statements
from search.store.columns import utc_now
from search.store.errors import JobBusy
from search.store.job_filters import JobFilters
from search.store.models import (
    Dependency,
    Export,
    ExportRequest,
    Figure,
    Front,
    Job,
    LogLine,
    Measurement,
    Trial,
    TrialCount,
)
from search.store.owner import is_dead
from search.store.rows import JobRow, Json, Lease, Submission
from search.store.sight import EVERYTHING, Sight
from search.store.transactions import Transactions, stale
from search.store.usage import charge
from search.store.versions import JobVersion, versions_of

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
        self,
        *,
        name: str,
        spec: Json,
        spec_folder: str,
        profile: Profile,
        devices: Mapping[str, Profile] | None = None,
        submission: Submission | None = None,
    ) -> str:
        """Stores a job and returns its new id; ``profile`` becomes its device's current profile.

        ``spec`` is the resolved job file, ``spec_folder`` the folder that its relative paths start from. ``devices``
        are the profiles of all devices by label, ``profile`` first; by default it is the only one. With a
        ``submission`` the job is queued for workers; without, its maker runs it. A submission whose user has used its
        key before returns the id of that job and stores nothing; raises :class:`InvalidInput` if that job differs, and
        :class:`NotFound` if a job that it waits for does not exist.
        """
        devices = devices or {profile.device: profile}
        with self._transactions.writing() as connection:
            if submission is not None:
                earlier = _job_of_key(connection, submission, spec)
                if earlier is not None:
                    return earlier
                for other in submission.after:
                    lookup.require_job(connection, other)
            statements.register(connection, *devices.values())
            job_id = _new_id(connection)
            values: Json = {
                "job_id": job_id,
                "name": name,
                "state": JobState.QUEUED,
                "spec": spec,
                "spec_folder": spec_folder,
                "device": next(iter(devices)),
                "profile_digest": profile.digest,
                "devices": [{"device": label, "profile_digest": p.digest} for label, p in devices.items()],
                "created_at": utc_now(),
                "wall_s": 0.0,
                "epoch": 0,
            }
            if submission is None:
                connection.execute(insert(Job), values)
                return job_id
            if not statements.insert_if_absent(connection, Job, **values | submission.columns):
                earlier = _job_of_key(connection, submission, spec)  # of a process that was quicker
                if earlier is None:
                    raise StorageError(f"another job has just got the id {job_id}", "submit the job again")
                return earlier
            if submission.after:
                rows = [{"job_id": job_id, "after_job_id": other} for other in dict.fromkeys(submission.after)]
                connection.execute(insert(Dependency), rows)
        return job_id

    def delete(self, job_id: str) -> None:
        """Removes a job with all that is stored of it; raises :class:`JobBusy` unless it has ended, and
        :class:`InvalidInput` while another job waits for it."""
        with self._transactions.writing() as connection:
            row = connection.execute(
                select(Job.state, Job.lease_owner, Job.lease_until).where(Job.job_id == job_id).with_for_update()
            ).one_or_none()
            if row is None:
                raise lookup.no_job(job_id)
            alive = row.lease_until is not None and row.lease_until > utc_now() and not is_dead(row.lease_owner)
            if alive or not row.state.ended:
                raise JobBusy(f"job {job_id} is {row.state}", f"end it first with: paretune cancel {job_id}")
            waiting = select(Dependency.job_id).where(Dependency.after_job_id == job_id).limit(1)
            if (other := connection.execute(waiting).scalar_one_or_none()) is not None:
                raise InvalidInput(f"job {other} waits for job {job_id}", f"delete it first: paretune delete {other}")
            trials = select(Trial.candidate_id).where(Trial.job_id == job_id)
            connection.execute(delete(ExportRequest).where(ExportRequest.job_id == job_id))
            for table in (Measurement, Export):
                connection.execute(delete(table).where(table.candidate_id.in_(trials)))
            for kind in (Trial, TrialCount, Figure, Front, LogLine, Dependency, Job):
                connection.execute(delete(kind).where(kind.job_id == job_id))

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

    def adopt(self, lease: Lease, owner: Json, lease_s: float = 30.0) -> None:
        """Passes a lease on to ``owner``, a process that was started to run the job."""
        with self._transactions.holding(lease) as connection:
            until = utc_now() + timedelta(seconds=lease_s)
            _change(connection, lease.job_id, lease_owner=owner, lease_until=until)

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
            else:
                values |= {"requested": None, "progress": None}
            if state.ended:
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
            charge(connection, lease.job_id, seconds)

    def run_s(self, user: str, within_s: float) -> float:
        """Seconds that a user's detached jobs have run, of those that run or have ended within so many seconds."""
        since = utc_now() - timedelta(seconds=within_s)
        recent = or_(Job.finished_at.is_(None), Job.finished_at >= since)
        query = select(func.coalesce(func.sum(Job.wall_s), 0.0)).where(Job.submitted_by == user, Job.detached, recent)
        with self._transactions.reading() as connection:
            return float(connection.execute(query).scalar_one())

    def set_strategy_state(self, lease: Lease, state: Json) -> None:
        """Stores the strategy's state after a block was told to it."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease.job_id, strategy_state=state)

    def set_devices(self, lease: Lease, devices: Mapping[str, Profile]) -> None:
        """Stores the devices of a job that has measured nothing yet, by label, the first one first."""
        with self._transactions.holding(lease) as connection:
            for profile in devices.values():
                statements.register(connection, profile)
            rows = [{"device": label, "profile_digest": profile.digest} for label, profile in devices.items()]
            _change(connection, lease.job_id, profile_digest=rows[0]["profile_digest"], devices=rows)

    def set_progress(self, lease: Lease, progress: Json) -> None:
        """Stores what is going on in a running job."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease.job_id, progress=progress)

    def request_of(self, lease: Lease) -> JobRequest | None:
        """Returns what the lease's holder is asked to do; raises :class:`StaleLease` if the job was taken over."""
        with self._transactions.reading() as connection:
            query = select(Job.requested, Job.epoch).where(Job.job_id == lease.job_id)
            row = connection.execute(query).one_or_none()
        if row is None or row.epoch != lease.epoch:
            raise stale(lease)
        requested: JobRequest | None = row.requested
        return requested

    def set_prediction(self, lease: Lease, prediction: Json) -> None:
        """Stores how accurately the layer table predicts a job's latencies."""
        with self._transactions.holding(lease) as connection:
            _change(connection, lease.job_id, prediction=prediction)

    def get(self, id_or_prefix: str, sight: Sight = EVERYTHING) -> JobRow:
        """Returns the job with this id, else the newest job of this name, else the job whose id begins with the text,
        else that of this short name; jobs that are not within ``sight`` do not exist."""
        with self._transactions.reading() as connection:
            job_id = lookup.find_job(connection, id_or_prefix, sight)
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

    def page(self, filters: JobFilters, limit: int, after: str | None = None) -> list[str]:
        """Returns the ids of at most ``limit`` jobs, the newest first: those that come after the job ``after``."""
        with self._transactions.reading() as connection:
            place = select(Job.created_at).where(Job.job_id == after, filters.sight.condition)
            since = None if after is None else connection.execute(place).scalar_one_or_none()
            if after is not None and since is None:
                raise lookup.no_job(after)
            further = () if since is None else (
                or_(Job.created_at < since, and_(Job.created_at == since, Job.job_id > after)),
            )  # fmt: skip
            query = select(Job.job_id).where(*filters.conditions, *further)
            return list(connection.execute(query.order_by(Job.created_at.desc(), Job.job_id).limit(limit)).scalars())

    def version(self, id_or_prefix: str, sight: Sight = EVERYTHING) -> JobVersion:
        """Returns the job's version, which changes whenever the job does; much faster than reading the job."""
        with self._transactions.reading() as connection:
            job_id = lookup.find_job(connection, id_or_prefix, sight)
            return versions_of(connection, [job_id])[job_id]

    def versions(self, job_ids: Collection[str]) -> dict[str, JobVersion]:
        """Returns the versions of those of these jobs that exist, by id."""
        with self._transactions.reading() as connection:
            return versions_of(connection, job_ids)


def _job_of_key(connection: Connection, submission: Submission, spec: Json) -> str | None:
    """Returns the job that the submission's user has made with its key; raises :class:`InvalidInput` if it differs."""
    if submission.idempotency_key is None:
        return None
    columns = Job.job_id, Job.spec, Job.files, Job.project, Job.priority
    query = select(*columns).where(
        Job.submitted_by == submission.submitted_by, Job.idempotency_key == submission.idempotency_key
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    after = set(connection.execute(select(Dependency.after_job_id).where(Dependency.job_id == row.job_id)).scalars())
    differs = {
        "is another one": (row.spec, row.files) != (spec, submission.columns["files"]),
        f"is in project {row.project!r}": row.project != submission.project,
        f"has priority {row.priority}": row.priority != submission.priority,
        "waits for other jobs": after != set(submission.after),
    }
    for difference in (text for text, holds in differs.items() if holds):
        raise InvalidInput(
            f"Idempotency-Key: {submission.idempotency_key!r} was used for job {row.job_id}, which {difference}",
            "make a new key for each new job",
        )
    return str(row.job_id)


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
