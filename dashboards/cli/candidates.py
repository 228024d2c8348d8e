"""The command that lists a job's candidates."""

from __future__ import annotations

import csv
import sys
from typing import Annotated

import typer

from dashboards.cli.listing import print_list
from dashboards.cli.options import Db, FrontFormat, JobId, Server, print_json
from dashboards.figures import figure, short_title
from dashboards.service.choice import open_service
from dashboards.words import Json
from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.short_names import candidate_name
from search.states import FAILED, TrialState, states_of


def candidates(
    job: JobId,
    state: Annotated[
        str | None, typer.Option(help="Only candidates in this state; failed: in any that is a failure.")
    ] = None,
    server: Server = None,
    db: Db = None,
    format: Annotated[
        FrontFormat, typer.Option("--format", help="table for people, csv or json for programs.")
    ] = FrontFormat.TABLE,
) -> None:
    """List every candidate of a job with its state and the reason for it."""
    if states_of(state) is None:
        raise InvalidInput(f"--state: unknown state {state!r}", nearest(str(state), [*TrialState, FAILED]))
    with open_service(server, db) as service:
        document = service.candidates(job, state=state)
    rows = document["trials"]
    if format is FrontFormat.JSON:
        print_json(document)
    elif format is FrontFormat.CSV:
        _print_csv(rows, _metrics(document))
    else:
        _print_table(document["job_id"], rows, _metrics(document))


def _metrics(document: Json) -> list[str]:
    return [objective["metric"] for objective in document["objectives"]]


def _print_table(job_id: str, rows: list[Json], metrics: list[str]) -> None:
    columns = {"short_name": "candidate", "candidate_id": "id", "state": "state"}
    columns |= {f"value {name}": short_title(name) for name in metrics}
    columns |= {"why": "reason", "summary": "what it changes"}
    shown = [
        {
            **row,
            "short_name": candidate_name(job_id, row["trial"]),
            **{f"value {name}": figure(row["values"][name], name) for name in metrics},
            "state": row["state"] + " (on the front)" * row["on_front"],
            "why": row["reason"] or "",
        }
        for row in rows
    ]
    print_list(shown, columns, "no candidates yet", wrap=["why", "summary"])


def _print_csv(rows: list[Json], metrics: list[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["trial", "candidate_id", "state", "on_front", *metrics, "reason", "summary"])
    for row in rows:
        figures = [row["values"][name] for name in metrics]
        start = [row["trial"], row["candidate_id"], row["state"], str(row["on_front"]).lower()]
        writer.writerow([*start, *figures, row["reason"] or "", row["summary"]])
