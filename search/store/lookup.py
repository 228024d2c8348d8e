"""Looks up jobs and candidates by the beginning of their ids, and by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.orm import InstrumentedAttribute

from hwprofiles.errors import NotFound
from search.short_names import short_name
from search.store.models import Job, Trial

_NAMED = 5


def find_job(connection: Connection, text: str) -> str:
    """Returns the job whose id begins with ``text``, else the newest job of that name, else the job of that short name.

    Raises :class:`NotFound`, also if several jobs of earlier versions share the short name.
    """
    job_id = _by_prefix(connection, Job.job_id, "job", text)
    if job_id is None:
        named = select(Job.job_id).where(Job.name == text).order_by(Job.created_at.desc(), Job.job_id).limit(1)
        job_id = connection.execute(named).scalar_one_or_none()
    if job_id is None:
        ids = connection.execute(select(Job.job_id).order_by(Job.created_at.desc(), Job.job_id)).scalars()
        job_id = _only("job", text, [job_id for job_id in ids if short_name(job_id) == text.lower()])
    if job_id is None:
        raise no_job(text)
    return job_id


def find_trial(connection: Connection, text: str) -> str:
    """Returns the candidate whose id begins with ``text``, or the candidate ``JOB/NUMBER``; raises
    :class:`NotFound`."""
    job, slash, number = text.rpartition("/")
    if slash:
        of_job = Trial.job_id == find_job(connection, job), Trial.number == (int(number) if number.isdecimal() else -1)
        candidate_id = connection.execute(select(Trial.candidate_id).where(*of_job)).scalar_one_or_none()
        if candidate_id is None:
            raise NotFound(f"job {job!r} has no candidate {number!r}", f"list them with: paretune candidates {job}")
        return candidate_id
    candidate_id = _by_prefix(connection, Trial.candidate_id, "candidate", text)
    if candidate_id is None:
        raise no_candidate(text)
    return candidate_id


def require_job(connection: Connection, job_id: str) -> None:
    """Raises :class:`NotFound` unless a job with this full id exists."""
    if connection.execute(select(Job.job_id).where(Job.job_id == job_id)).first() is None:
        raise no_job(job_id)


def require_candidate(connection: Connection, candidate_id: str) -> None:
    """Raises :class:`NotFound` unless a candidate with this full id exists."""
    if connection.execute(select(Trial.job_id).where(Trial.candidate_id == candidate_id)).first() is None:
        raise no_candidate(candidate_id)


def no_job(text: str) -> NotFound:
    """Returns the error for a job that does not exist."""
    return NotFound(f"there is no job {text!r}", "list them with: paretune jobs")


def no_candidate(text: str) -> NotFound:
    """Returns the error for a candidate that does not exist."""
    return NotFound(f"there is no candidate {text!r}", "list a job's with: paretune candidates JOB")


def _by_prefix(connection: Connection, column: InstrumentedAttribute[str], noun: str, text: str) -> str | None:
    """Returns the one id that begins with ``text``, None if there is none; raises :class:`NotFound` if there are
    several."""
    prefix = text.lower()
    if not prefix or not set(prefix) <= set("0123456789abcdef"):
        return None
    # A range, since LIKE ignores case on SQLite and therefore its index: "g" sorts after every hex digit.
    query: Any = select(column).where(column >= prefix, column < prefix + "g").order_by(column).limit(_NAMED + 1)
    return _only(noun, text, connection.execute(query).scalars().all())


def _only(noun: str, text: str, ids: Sequence[str]) -> str | None:
    """Returns the one of ``ids``, None if there is none; raises :class:`NotFound` if there are several."""
    if len(ids) > 1:
        names = ", ".join(ids[:_NAMED]) + (", …" if len(ids) > _NAMED else "")
        raise NotFound(f"{noun} {text!r} is ambiguous: {names}", "give more digits of the id")
    return ids[0] if ids else None
