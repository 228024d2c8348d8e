"""The document of an export that a worker was asked for."""

from __future__ import annotations

from dashboards.words import Json
from search.store import ExportRow


def export_document(row: ExportRow) -> Json:
    """Returns the state of an export; the receipt once it is done, the error if it failed."""
    return {
        "export_id": row.export_id,
        "job_id": row.job_id,
        "candidate_id": row.candidate_id,
        "state": str(row.state),
        "doing": row.doing,
        "options": row.options,
        "submitted_by": row.submitted_by,
        "created_at": row.created_at.isoformat(),
        "finished_at": row.finished_at and row.finished_at.isoformat(),
        "bundle_sha256": row.bundle_sha256,
        "receipt": row.receipt,
        "error": row.error,
        "hint": row.hint,
    }
