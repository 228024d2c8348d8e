"""Commands that list jobs and show where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import typer

from dashboards.cli.console import out, print_fields
from dashboards.cli.fields import status_fields
from dashboards.cli.front_table import print_answer
from dashboards.cli.listing import print_list
from dashboards.cli.options import AsFormat, Db, Format, JobId, Server, print_coverage, print_json
from dashboards.figures import moment
from dashboards.service import Service
from dashboards.service.base import LONGEST_PAGE
from dashboards.service.choice import open_service, service_if_any
from dashboards.words import Json
from dashboards.words.jobs import device_names, state_in_words
from dashboards.words.time_spent import left_in_words, spent_in_words
from hwprofiles.suggestions import nearest


def jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.", show_default=False)] = None,
    user: Annotated[str | None, typer.Option(help="Only jobs of this user.", show_default=False)] = None,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project.", show_default=False)] = None,
    device: Annotated[str | None, typer.Option(help="Only jobs on this device.", show_default=False)] = None,
    server: Server = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """List all jobs, the newest first."""
    filters = {"state": state, "user": user, "project": project, "device": device}
    given = {key: value for key, value in filters.items() if value is not None}
    with service_if_any(server, db) as service:
        listed = [] if service is None else list(_all_jobs(service, given))
        others = [] if service is None or listed or not given else list(_all_jobs(service, {}))
    if format is Format.JSON:
        print_json({"jobs": listed})
        return
    columns = {"job_id": "job", "short_name": "short name", "name": "name", "state": "state", "device": "device"}
    if len({job["submitted_by"] for job in listed}) > 1:
        columns |= {"submitted_by": "user"}
    rows = [
        job
        | {
            "device": ", ".join(device_names(job)),
            "state": state_in_words(job),
            "created_at": moment(job["created_at"]),
        }
        for job in listed
    ]
    columns |= {"created_at": "created"}
    if any(job["waiting"] for job in listed):
        columns |= {"waiting": "why it waits"}
    print_list(rows, columns, _none_matches(given, others), cut=["waiting"], below="waiting")


def _none_matches(filters: Mapping[str, str], others: Sequence[Json]) -> str:
    """Returns what is printed in place of a table: that there are no jobs, or only ``others`` that do not match."""
    if not others:
        return "no jobs yet; start one with: paretune run MODEL.onnx"
    names = {
        "user": {job["submitted_by"] for job in others},
        "project": {job["project"] for job in others},
        "device": {name for job in others for name in device_names(job)},
    }
    unknown = [name for name in names if name in filters and filters[name] not in names[name]]
    hints = "".join(f"; --{name}: {nearest(filters[name], names[name])}" for name in unknown)
    return f"no job matches {' '.join(f'--{name} {value}' for name, value in filters.items())}{hints}"


def _all_jobs(service: Service, filters: dict[str, str]) -> Iterator[Json]:
    """Yields the jobs of all pages."""
    cursor = None
    while True:
        page = service.jobs(filters, limit=LONGEST_PAGE, cursor=cursor)
        yield from page["jobs"]
        cursor = page["next"]
        if cursor is None:
            return


def status(job: JobId, server: Server = None, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Show a job's state, progress, time and notes."""
    with open_service(server, db) as service:
        document = service.job(job)
    if format is Format.JSON:
        print_json(document)
    else:
        print_status(document)


def print_status(document: Json) -> None:
    """Prints a job's status as tables."""
    print_answer(document)
    print_fields(status_fields(document))
    if document["process_died"]:
        out.print(f"resume it with: paretune resume {document['job_id']}", soft_wrap=True)
    print_fields({f"after job {job['job_id']}": job["state"] for job in document["after"]})
    progress = document["progress"]
    print_fields({f"note {number}": note for number, note in enumerate(document["notes"], 1)})
    print_fields({f"trials {state}": count for state, count in document["trials"].items() if count})
    print_fields({f"trial {row['trial']}": row["doing"] for row in progress["at_work"]})
    left = {phase: s for phase, s in (progress["left_s"] or {}).items() if s is not None}
    words = {
        "now": ": ".join(filter(None, [progress["phase"], progress["message"]])) or None,
        "estimate": left_in_words(left) if left else None,
        "ended early": document["ending"] and document["ending"]["text"],
        "time": spent_in_words(document["time_s"]) or None,
    }
    if any(words.values()):
        print_fields(words)
    print_coverage(document)
