"""Versions of jobs: detects changes without reading the job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from search.store.models import Front, Job, Measurement, Trial


@dataclass(frozen=True)
class JobVersion:
    """A fingerprint of a job: equal ones mean that neither its row, its candidates nor its front has changed."""

    job_id: str
    row: tuple[Any, ...]
    """The columns of the job that change."""
    candidates: tuple[tuple[str, int], ...]
    """Number of candidates by state."""
    measurement: int
    """Id of the last measurement, 0 if there is none."""
    front: int
    """Version of the front, 0 if there is none."""


def version_of(connection: Connection, job_id: str) -> JobVersion:
    """Returns the version of an existing job. Reads only indexes and short columns."""
    columns = (
        Job.state, Job.epoch, Job.wall_s, Job.lease_until, Job.finished_at, Job.space.is_(None), Job.requested,
        Job.losses, Job.progress,
    )  # fmt: skip
    row = connection.execute(select(*columns).where(Job.job_id == job_id)).one()
    states = select(Trial.state, func.count()).where(Trial.job_id == job_id).group_by(Trial.state)
    counts = sorted((state.value, count) for state, count in connection.execute(states))
    last = select(func.max(Measurement.id)).where(Measurement.job_id == job_id)
    measurement = connection.execute(last).scalar_one()
    front = connection.execute(select(func.max(Front.version)).where(Front.job_id == job_id)).scalar_one()
    return JobVersion(job_id, tuple(row), tuple(counts), measurement or 0, front or 0)
