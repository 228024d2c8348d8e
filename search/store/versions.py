"""Versions of jobs: detects changes without reading the job."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from search.store.models import Front, Job, Measurement, TrialCount


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


def versions_of(connection: Connection, job_ids: Collection[str]) -> dict[str, JobVersion]:
    """Returns the versions of existing jobs by id. Reads only indexes and short columns."""
    columns = (
        Job.state, Job.epoch, Job.wall_s, Job.lease_until, Job.finished_at, Job.space.is_(None), Job.requested,
        Job.losses, Job.progress,
    )  # fmt: skip
    rows = connection.execute(select(Job.job_id, *columns).where(Job.job_id.in_(job_ids))).all()
    numbers = select(TrialCount.job_id, TrialCount.state, TrialCount.count)
    counts: dict[str, list[tuple[str, int]]] = {}
    for row in connection.execute(numbers.where(TrialCount.job_id.in_(job_ids), TrialCount.count > 0)):
        counts.setdefault(row[0], []).append((row[1].value, int(row[2])))
    last = select(Measurement.job_id, func.max(Measurement.id)).where(Measurement.job_id.in_(job_ids))
    measurements = {row[0]: row[1] for row in connection.execute(last.group_by(Measurement.job_id))}
    newest = select(Front.job_id, func.max(Front.version)).where(Front.job_id.in_(job_ids)).group_by(Front.job_id)
    fronts = {row[0]: row[1] for row in connection.execute(newest)}
    return {
        row[0]: JobVersion(
            row[0], tuple(row[1:]), tuple(sorted(counts.get(row[0], ()))), measurements.get(row[0], 0),
            fronts.get(row[0], 0),
        )
        for row in rows
    }  # fmt: skip
