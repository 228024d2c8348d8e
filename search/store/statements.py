"""SQL statements that several parts of the store share; each runs in its caller's transaction."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from hwprofiles import Profile
from search.store import lookup, models
from search.store.columns import utc_now
from search.store.models import Device, Job, Measurement, Trial
from search.store.rows import Json, Lease, TrialRow

# Rows and tables name their columns alike.
_TRIAL_COLUMNS = [getattr(Trial, field.name) for field in fields(TrialRow)]


def register(connection: Connection, profile: Profile) -> None:
    """Stores a profile, and makes it its device's current one."""
    now = utc_now()
    stored = connection.execute(select(models.Profile.digest).where(models.Profile.digest == profile.digest)).first()
    if stored is None:
        insert_if_absent(connection, models.Profile, digest=profile.digest, data=profile.to_dict(), created_at=now)
    current = {"profile_digest": profile.digest, "seen_at": now}
    if not connection.execute(update(Device).where(Device.name == profile.device), current).rowcount:
        insert_if_absent(connection, Device, name=profile.device, **current)


def insert_if_absent(connection: Connection, table: type[models.Base], **values: Any) -> None:
    """Adds a row unless it exists: another process may have inserted it since the caller looked."""
    with suppress(IntegrityError), connection.begin_nested():
        connection.execute(insert(table), values)


def change_job(connection: Connection, job_id: str, **values: Any) -> None:
    """Sets columns of a job; a value may be an expression."""
    connection.execute(update(Job).where(Job.job_id == job_id).values(values))


def change_trial(connection: Connection, lease: Lease, candidate_id: str, **values: Any) -> None:
    """Sets columns of a candidate of the lease's job; raises :class:`NotFound` if the job has no such candidate."""
    conditions = Trial.candidate_id == candidate_id, Trial.job_id == lease.job_id
    if not connection.execute(update(Trial).where(*conditions), values).rowcount:
        raise lookup.no_candidate(candidate_id)


def add_measurement(connection: Connection, candidate_id: str, phase: str, record: Json) -> None:
    """Adds a measurement record to a candidate."""
    values = {"candidate_id": candidate_id, "phase": phase, "record": record, "created_at": utc_now()}
    connection.execute(insert(Measurement), values)


def read_trials(connection: Connection, *where: ColumnElement[bool]) -> list[TrialRow]:
    """The candidates that meet every condition, by trial number."""
    query = select(*_TRIAL_COLUMNS).where(*where).order_by(Trial.number)
    return [TrialRow(*row) for row in connection.execute(query)]
