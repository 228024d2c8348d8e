"""The store: jobs, candidates and measurements."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any, Self

from sqlalchemy import delete, func, insert, select, update

from hwprofiles import Profile
from hwprofiles.errors import NotFound, ParetuneError
from search.space.candidate import Candidate
from search.states import JobState, TrialState
from search.store import lookup, models, statements
from search.store.agents import Agents
from search.store.capabilities import CapabilityRecords
from search.store.columns import utc_now
from search.store.engine import url_of
from search.store.errors import JobBusy
from search.store.fronts import FrontRecords
from search.store.models import Device, Job, Measurement, Trial
from search.store.owner import is_dead
from search.store.requests import Requests
from search.store.rows import JobRow, Json, Lease, TrialRow
from search.store.upgrade import prepare
from search.store.versions import JobVersion, trials_since, version_of

_UNFINISHED = [state for state in TrialState if not state.finished]

# Fields of rows are named like the columns of tables.
_JOB_COLUMNS = [getattr(Job, field.name) for field in fields(JobRow)]


class Store(CapabilityRecords, FrontRecords):
    """Jobs, candidates, measurements with raw samples, devices and profiles, versions of fronts, exports.

    Each method is a transaction: atomic, and durable when it returns. Safe for several threads, and for several
    processes, each of which opens its own from the URL. Writers of a job pass their :class:`Lease`; a stale one raises
    :class:`StaleLease` and nothing is written. Raises :class:`hwprofiles.errors.StorageError` for a database that
    cannot be reached, read or written, :class:`hwprofiles.errors.NotFound` for a job or candidate that does not exist.
    Listings have a fixed order; JSON values keep the order of their keys; NaN and infinities are refused.

    Ids are complete, except where a parameter is called ``id_or_prefix``.
    """

    def __init__(self, url: str) -> None:
        """Opens the database at an SQLAlchemy ``url``; creates an SQLite file that is missing or empty.

        Raises :class:`InvalidInput` for a URL that cannot be used, :class:`StorageError` for a database that cannot be
        read or whose schema is not that of this version (``paretune db upgrade`` upgrades an older one).
        """
        super().__init__(url)
        self.agents = Agents(self._reading, self._writing)
        self.requests = Requests(self._reading, self._writing)
        try:
            prepare(self._engine)
        except ParetuneError:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The URL by which another process of this machine opens the same database; includes the password."""
        return url_of(self._engine)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # jobs

    def create_job(
        self, *, name: str, spec: Json, spec_folder: str, profile: Profile, devices: Mapping[str, Profile] | None = None
    ) -> str:
        """Queues a job and returns its new id; ``profile`` becomes its device's current profile.

        ``spec`` is the resolved job file, ``spec_folder`` the folder that its relative paths start from. ``devices``
        are the profiles of all devices by label, ``profile`` first; by default it is the only one.
        """
        devices = devices or {profile.device: profile}
        with self._writing() as connection:
            for device_profile in reversed(list(devices.values())):
                statements.register(connection, device_profile)
            job_id = secrets.token_hex(4)
            while connection.execute(select(Job.job_id).where(Job.job_id == job_id)).first():
                job_id = secrets.token_hex(4)
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

    def lease_job(self, job_id: str, owner: Json, lease_s: float = 30.0) -> Lease:
        """Takes the right to write a job for ``lease_s`` seconds; earlier leases become stale.

        ``owner`` is a process as returned by :func:`this_process`. Raises :class:`JobBusy` while another lease is
        valid, unless its owner was a process of this host that has died. Hosts that share a database need clocks that
        agree well within ``lease_s``.
        """
        with self._writing() as connection:
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
            statements.change_job(connection, job_id, epoch=lease.epoch, lease_owner=owner, lease_until=until)
        return lease

    def renew(self, lease: Lease, lease_s: float = 30.0) -> None:
        """Extends a lease to ``lease_s`` seconds from now, also an expired one that nobody else took."""
        with self._holding(lease) as connection:
            statements.change_job(connection, lease.job_id, lease_until=utc_now() + timedelta(seconds=lease_s))

    def release(self, lease: Lease) -> None:
        """Ends a lease; it can write nothing afterwards."""
        with self._holding(lease) as connection:
            statements.change_job(connection, lease.job_id, lease_owner=None, lease_until=None)

    def set_job_state(
        self, lease: Lease, state: JobState, *, error: str | None = None, hint: str | None = None
    ) -> None:
        """Sets a job's state with its ``error`` and ``hint``, and its times.

        ``started_at`` is when it first ran, ``finished_at`` when it last ended (None again while it runs).
        """
        with self._holding(lease) as connection:
            values: Json = {"state": state, "error": error, "hint": hint}
            if state is JobState.RUNNING:
                values |= {"started_at": func.coalesce(Job.started_at, utc_now()), "finished_at": None}
            elif state.ended:
                values |= {"finished_at": utc_now()}
            statements.change_job(connection, lease.job_id, **values)

    def set_preparation(self, lease: Lease, *, space: Json, baseline: Json) -> None:
        """Stores a job's search space and the baseline (fp32) that its candidates are compared with."""
        with self._holding(lease) as connection:
            statements.change_job(connection, lease.job_id, space=space, baseline=baseline)

    def add_wall_time(self, lease: Lease, seconds: float) -> None:
        """Adds to the time that a job has run, over all of its controllers."""
        with self._holding(lease) as connection:
            statements.change_job(connection, lease.job_id, wall_s=Job.wall_s + seconds)

    def job(self, id_or_prefix: str) -> JobRow:
        """The job whose id begins with the text, else the newest job of that name."""
        with self._reading() as connection:
            job_id = lookup.find_job(connection, id_or_prefix)
            return JobRow(*connection.execute(select(*_JOB_COLUMNS).where(Job.job_id == job_id)).one())

    def jobs(self) -> list[JobRow]:
        """All jobs, the newest first."""
        with self._reading() as connection:
            query = select(*_JOB_COLUMNS).order_by(Job.created_at.desc(), Job.job_id)
            return [JobRow(*row) for row in connection.execute(query)]

    def job_ids(self) -> list[str]:
        """The ids of all jobs, the newest first."""
        with self._reading() as connection:
            query = select(Job.job_id).order_by(Job.created_at.desc(), Job.job_id)
            return list(connection.execute(query).scalars())

    def job_version(self, id_or_prefix: str) -> JobVersion:
        """The job's version, which changes whenever the job does; much faster than reading the job."""
        with self._reading() as connection:
            return version_of(connection, lookup.find_job(connection, id_or_prefix))

    # trials

    def add_trials(
        self, lease: Lease, block: int, strategy: str, simulated: bool, candidates: Sequence[tuple[int, Candidate]]
    ) -> list[TrialRow]:
        """Adds the candidates of a block, each with its trial number, as pending; returns them in the same order.

        Raises :class:`StorageError`, and adds none, if a number or a candidate is in the job already.
        """
        trials = [
            TrialRow(
                candidate_id=_candidate_id(lease.job_id, candidate),
                job_id=lease.job_id,
                number=number,
                block=block,
                digest=candidate.digest,
                decisions=candidate.decisions,
                strategy=strategy,
                simulated=simulated,
                state=TrialState.PENDING,
                reason=None,
                metrics={},
                artifact_sha256=None,
                wall_s=0.0,
            )
            for number, candidate in candidates
        ]
        with self._holding(lease) as connection:
            if trials:
                connection.execute(insert(Trial), [vars(trial) for trial in trials])
        return trials

    def set_trial_state(self, lease: Lease, candidate_id: str, state: TrialState) -> None:
        """Sets the state of a candidate of the lease's job."""
        with self._holding(lease) as connection:
            statements.change_trial(connection, lease, candidate_id, state=state)

    def put_off(self, lease: Lease, candidate_id: str, reason: str) -> None:
        """Leaves a candidate pending, with the ``reason`` why it has no result yet."""
        with self._holding(lease) as connection:
            statements.change_trial(connection, lease, candidate_id, state=TrialState.PENDING, reason=reason)

    def finish_trial(
        self,
        lease: Lease,
        candidate_id: str,
        state: TrialState,
        *,
        reason: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        artifact_sha256: str | None = None,
        measurement: Json | None = None,
        further_measurements: Sequence[Json] = (),
        wall_s: float = 0.0,
    ) -> None:
        """Stores the result of a candidate, with its measurements as of phase ``search``.

        ``measurement`` is that of the first device, ``further_measurements`` those of the others. ``reason`` says why
        the candidate failed or is infeasible; ``wall_s`` is the time that it took.
        """
        with self._holding(lease) as connection:
            statements.change_trial(
                connection,
                lease,
                candidate_id,
                state=state,
                reason=reason,
                metrics=dict(metrics or {}),
                artifact_sha256=artifact_sha256,
                wall_s=wall_s,
            )
            for record in (measurement, *further_measurements):
                if record is not None:
                    statements.add_measurement(connection, candidate_id, "search", record)

    def replace_measurement(
        self,
        lease: Lease,
        candidate_id: str,
        *,
        state: TrialState,
        metrics: Mapping[str, Any],
        measurement: Json,
        phase: str,
        reason: str | None = None,
    ) -> None:
        """Adds a later measurement of a candidate, and replaces its state, ``reason`` and metrics."""
        with self._holding(lease) as connection:
            statements.change_trial(connection, lease, candidate_id, state=state, reason=reason, metrics=dict(metrics))
            statements.add_measurement(connection, candidate_id, phase, measurement)

    def reset_open_trials(self, lease: Lease) -> list[TrialRow]:
        """Makes a job's unfinished candidates pending again, for resuming; returns them by trial number."""
        with self._holding(lease) as connection:
            unfinished = Trial.job_id == lease.job_id, Trial.state.in_(_UNFINISHED)
            connection.execute(update(Trial).where(*unfinished).values(state=TrialState.PENDING))
            return statements.read_trials(connection, *unfinished)

    def drop_open_trials(self, lease: Lease) -> None:
        """Removes candidates that were proposed but never finished; those that were put off stay pending."""
        unfinished = Trial.job_id == lease.job_id, Trial.state.in_(_UNFINISHED)
        with self._holding(lease) as connection:
            connection.execute(delete(Trial).where(*unfinished, Trial.reason.is_(None)))
            connection.execute(update(Trial).where(*unfinished).values(state=TrialState.PENDING))

    def finish_block(self, lease: Lease, strategy_state: Json) -> None:
        """Stores the strategy's state after a block was told to it."""
        with self._holding(lease) as connection:
            statements.change_job(connection, lease.job_id, strategy_state=strategy_state)

    def trials(self, job_id: str) -> list[TrialRow]:
        """A job's candidates by trial number."""
        with self._reading() as connection:
            rows = statements.read_trials(connection, Trial.job_id == job_id)
            if not rows:
                lookup.require_job(connection, job_id)
        return rows

    def trials_since(self, version: JobVersion, earlier: Mapping[str, TrialRow]) -> list[TrialRow]:
        """As :meth:`trials`, but reads only candidates that may have changed since ``version``.

        ``earlier`` are the rows by candidate id, read at that version or later.
        """
        with self._reading() as connection:
            return trials_since(connection, version, earlier)

    def trial(self, id_or_prefix: str) -> TrialRow:
        """The candidate whose id begins with the text."""
        with self._reading() as connection:
            candidate_id = lookup.find_trial(connection, id_or_prefix)
            return statements.read_trials(connection, Trial.candidate_id == candidate_id)[0]

    def measurements(self, candidate_id: str) -> list[Json]:
        """A candidate's measurements as ``{"phase", "created_at", "record"}``, the oldest first."""
        with self._reading() as connection:
            query = select(Measurement).where(Measurement.candidate_id == candidate_id).order_by(Measurement.id)
            rows = [
                {"phase": row.phase, "created_at": row.created_at.isoformat(), "record": row.record}
                for row in connection.execute(query)
            ]
            if not rows:
                lookup.require_candidate(connection, candidate_id)
        return rows

    # devices

    def devices(self) -> list[tuple[str, Profile]]:
        """All devices that had a job or an agent, with their current profiles, by name."""
        with self._reading() as connection:
            query = select(Device.name, models.Profile.data).join(models.Profile).order_by(Device.name)
            return [(name, Profile.from_dict(data)) for name, data in connection.execute(query)]

    def profile(self, digest: str) -> Profile:
        """The profile with this digest, current or not."""
        with self._reading() as connection:
            query = select(models.Profile.data).where(models.Profile.digest == digest)
            data = connection.execute(query).scalar_one_or_none()
        if data is None:
            raise NotFound(f"there is no profile {digest!r}", "list the devices with: paretune devices list")
        return Profile.from_dict(data)


def _candidate_id(job_id: str, candidate: Candidate) -> str:
    return hashlib.sha256((job_id + candidate.digest).encode()).hexdigest()[:12]
