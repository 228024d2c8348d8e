"""Commands that list jobs and show where they stand."""

from __future__ import annotations

from typing import Any

from dashboards.cli.console import out, print_fields
from dashboards.cli.fields import status_fields
from dashboards.cli.front_table import print_answer
from dashboards.cli.listing import print_list
from dashboards.cli.options import (
    AsFormat,
    Db,
    Format,
    JobId,
    existing_store,
    is_new_home,
    print_coverage,
    print_json,
)
from dashboards.documents.jobs import job_document, jobs_document
from dashboards.figures import moment
from dashboards.words.jobs import device_names, state_in_words
from dashboards.words.time_spent import left_in_words, spent_in_words


def jobs(db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """List all jobs, the newest first."""
    document: dict[str, Any] = {"jobs": []}
    if not is_new_home(db):
        with existing_store(db) as store:
            document = jobs_document(store)
    if format is Format.JSON:
        print_json(document)
        return
    columns = {
        "job_id": "job",
        "short_name": "short name",
        "name": "name",
        "state": "state",
        "device": "device",
        "created_at": "created",
    }
    rows = [
        job
        | {
            "device": ", ".join(device_names(job)),
            "state": state_in_words(job),
            "created_at": moment(job["created_at"]),
        }
        for job in document["jobs"]
    ]
    print_list(rows, columns, "no jobs yet; start one with: paretune run MODEL.onnx")


def status(job: JobId, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Show a job's state, progress, time and notes."""
    with existing_store(db) as store:
        document = job_document(store, job)
    if format is Format.JSON:
        print_json(document)
        return
    print_answer(document)
    print_fields(status_fields(document))
    if document["process_died"]:
        out.print(f"resume it with: paretune resume {document['job_id']}", soft_wrap=True)
    print_fields({f"note {number}": note for number, note in enumerate(document["notes"], 1)})
    print_fields({f"trials {state}": count for state, count in document["trials"].items() if count})
    print_fields({f"trial {row['trial']}": row["doing"] for row in document["progress"]["at_work"]})
    left = {phase: s for phase, s in (document["progress"]["left_s"] or {}).items() if s is not None}
    words = {
        "estimate": left_in_words(left) if left else None,
        "ended early": document["ending"] and document["ending"]["text"],
        "time": spent_in_words(document["time_s"]) or None,
    }
    if any(words.values()):
        print_fields(words)
    print_coverage(document)
