"""Versions of jobs: detects changes without reading the job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from search.store import trial_counts
from search.store.models import Front, Job, Measurement


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
    counts = sorted((state.value, count) for state, count in trial_counts.counts_of(connection, job_id).items())
    last = select(func.max(Measurement.id)).where(Measurement.job_id == job_id)
    measurement = connection.execute(last).scalar_one()
    front = connection.execute(select(func.max(Front.version)).where(Front.job_id == job_id)).scalar_one()
    return JobVersion(job_id, tuple(row), tuple(counts), measurement or 0, front or 0)
