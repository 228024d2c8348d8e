"""Looks up jobs and candidates by the beginning of their ids, and by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, true
from sqlalchemy.orm import InstrumentedAttribute

from hwprofiles.errors import NotFound
from search.short_names import short_name
from search.store.models import Job, Trial
from search.store.sight import EVERYTHING, Sight

_NAMED = 5
_DIGITS = 10
"""Trial numbers have fewer."""


def find_job(connection: Connection, text: str, sight: Sight = EVERYTHING) -> str:
    """Returns the job with the id ``text``, else the newest job of that name, else the job whose id begins with it,
    else the job of that short name.

    Only jobs within ``sight`` count. Raises :class:`NotFound`, also if several ids begin with the text, or several jobs
    of earlier versions share the short name.
    """
    within = sight.condition
    newest = select(Job.job_id).where(within).order_by(Job.created_at.desc(), Job.job_id)
    for condition in (Job.job_id == text.lower(), Job.name == text):
        job_id = connection.execute(newest.where(condition).limit(1)).scalar_one_or_none()
        if job_id is not None:
            return job_id
    job_id = _by_prefix(connection, Job.job_id, "job", text, within)
    if job_id is None:
        ids = connection.execute(newest).scalars()
        job_id = _only("job", text, [job_id for job_id in ids if short_name(job_id) == text.lower()])
    if job_id is None:
        raise no_job(text)
    return job_id


def find_trial(connection: Connection, text: str, sight: Sight = EVERYTHING) -> str:
    """Returns the candidate whose id begins with ``text``, or the candidate ``JOB/NUMBER``, of a job
    within ``sight``; raises :class:`NotFound`."""
    job, slash, number = text.rpartition("/")
    if slash:
        place = int(number) if number.isdecimal() and len(number) < _DIGITS else -1
        of_job = Trial.job_id == find_job(connection, job, sight), Trial.number == place
        candidate_id = connection.execute(select(Trial.candidate_id).where(*of_job)).scalar_one_or_none()
        if candidate_id is None:
            raise NotFound(f"job {job!r} has no candidate {number!r}", f"list them with: paretune candidates {job}")
        return candidate_id
    within = true() if sight == EVERYTHING else Trial.job_id.in_(select(Job.job_id).where(sight.condition))
    candidate_id = _by_prefix(connection, Trial.candidate_id, "candidate", text, within)
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


def job_of(connection: Connection, candidate_id: str) -> str:
    """Returns the job of a candidate by its full id; raises :class:`NotFound`."""
    job_id = connection.execute(select(Trial.job_id).where(Trial.candidate_id == candidate_id)).scalar_one_or_none()
    if job_id is None:
        raise no_candidate(candidate_id)
    return job_id


def no_job(text: str) -> NotFound:
    """Returns the error for a job that does not exist."""
    return NotFound(f"there is no job {text!r}", "list them with: paretune jobs")


def no_candidate(text: str) -> NotFound:
    """Returns the error for a candidate that does not exist."""
    return NotFound(f"there is no candidate {text!r}", "list a job's with: paretune candidates JOB")


def _by_prefix(
    connection: Connection, column: InstrumentedAttribute[str], noun: str, text: str, within: ColumnElement[bool]
) -> str | None:
    """Returns the one id that begins with ``text``, None if there is none; raises :class:`NotFound` if there are
    several."""
    prefix = text.lower()
    if not prefix or not set(prefix) <= set("0123456789abcdef"):
        return None
    # A range, since LIKE ignores case on SQLite and therefore its index: "g" sorts after every hex digit.
    query: Any = select(column).where(column >= prefix, column < prefix + "g", within).order_by(column)
    return _only(noun, text, connection.execute(query.limit(_NAMED + 1)).scalars().all())


def _only(noun: str, text: str, ids: Sequence[str]) -> str | None:
    """Returns the one of ``ids``, None if there is none; raises :class:`NotFound` if there are several."""
    if len(ids) > 1:
        names = ", ".join(ids[:_NAMED]) + (", …" if len(ids) > _NAMED else "")
        raise NotFound(f"{noun} {text!r} is ambiguous: {names}", "give more digits of the id")
    return ids[0] if ids else None
