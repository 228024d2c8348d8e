"""The document of a job's log."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.words import Json
from search.store.logs import LogRow


def logs_document(job_id: str, rows: Sequence[LogRow]) -> Json:
    """Returns lines of a job's log; ``last`` is the id of the last one, behind which the next ones begin."""
    return {"job_id": job_id, "lines": [line_of(row) for row in rows], "last": rows[-1].id if rows else None}


def line_of(row: LogRow) -> Json:
    """Returns one line of a log."""
    return {
        "id": row.id,
        "at": row.at.isoformat(),
        "level": row.level,
        "text": row.text,
        "candidate_id": row.candidate_id,
    }
