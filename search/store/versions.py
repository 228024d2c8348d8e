"""Versions of jobs: detects changes without reading the job."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, or_, select

from search.states import TrialState
from search.store.models import Front, Job, Measurement, Trial
from search.store.rows import TrialRow
from search.store.statements import read_trials

_UNFINISHED = [state for state in TrialState if not state.finished]


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
    """The version of an existing job. Reads only indexes and short columns."""
    columns = Job.state, Job.epoch, Job.wall_s, Job.lease_until, Job.finished_at, Job.space.is_(None)
    row = connection.execute(select(*columns).where(Job.job_id == job_id)).one()
    states = select(Trial.state, func.count()).where(Trial.job_id == job_id).group_by(Trial.state)
    counts = sorted((state.value, count) for state, count in connection.execute(states))
    last = select(func.max(Measurement.id)).join(Trial, Trial.candidate_id == Measurement.candidate_id)
    measurement = connection.execute(last.where(Trial.job_id == job_id)).scalar_one()
    front = connection.execute(select(func.max(Front.version)).where(Front.job_id == job_id)).scalar_one()
    return JobVersion(job_id, tuple(row), tuple(counts), measurement or 0, front or 0)


def trials_since(connection: Connection, version: JobVersion, earlier: Mapping[str, TrialRow]) -> list[TrialRow]:
    """All candidates of a job by trial number; reads only those that may have changed since ``version``.

    ``earlier`` are the rows by candidate id as of that version or later.
    """
    of_job = Trial.job_id == version.job_id
    unfinished = [candidate_id for candidate_id, row in earlier.items() if not row.state.finished]
    last = max((row.number for row in earlier.values()), default=-1)
    measured = select(Measurement.candidate_id).where(Measurement.id > version.measurement)
    changed = or_(
        Trial.number > last, Trial.state.in_(_UNFINISHED), Trial.candidate_id.in_(unfinished),
        Trial.candidate_id.in_(measured),
    )  # fmt: skip
    rows = {**earlier, **{row.candidate_id: row for row in read_trials(connection, of_job, changed)}}
    existing: Collection[str] = set(connection.execute(select(Trial.candidate_id).where(of_job)).scalars())
    return sorted((row for row in rows.values() if row.candidate_id in existing), key=lambda row: row.number)
