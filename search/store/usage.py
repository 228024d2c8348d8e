"""How long users' jobs have run: what the queue shares workers by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select, update

from search.store.columns import utc_now
from search.store.models import Job, Usage
from search.store.statements import insert_if_absent

HALF_LIFE_S = 3600.0
"""Time used so long ago counts half."""


def charge(connection: Connection, job_id: str, seconds: float) -> None:
    """Adds the seconds that a detached job has run to its user's usage."""
    query = select(Job.submitted_by).where(Job.job_id == job_id, Job.detached)
    user = connection.execute(query).scalar_one_or_none()
    if user is None:
        return
    now, stored = utc_now(), select(Usage).where(Usage.submitted_by == user).with_for_update()
    row = connection.execute(stored).one_or_none()
    if row is None:
        insert_if_absent(connection, Usage, submitted_by=user, used_s=0.0, at=now)
        row = connection.execute(stored).one()
    values = {"used_s": _decayed(row.used_s, row.at, now) + seconds, "at": now}
    connection.execute(update(Usage).where(Usage.submitted_by == user), values)


def usage_of(connection: Connection) -> Mapping[str, float]:
    """Returns the seconds that each user has used, older ones counting less."""
    now = utc_now()
    return {row.submitted_by: _decayed(row.used_s, row.at, now) for row in connection.execute(select(Usage))}


def _decayed(used_s: float, at: datetime, now: datetime) -> float:
    return float(used_s * 0.5 ** (max(0.0, (now - at).total_seconds()) / HALF_LIFE_S))
