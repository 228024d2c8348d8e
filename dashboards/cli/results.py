"""Commands that show a job's results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.console import err, out, print_fields, print_formats, print_rows
from dashboards.cli.fields import candidate_fields, digest_fields, health_fields, metric_fields
from dashboards.cli.jobs import print_status
from dashboards.cli.options import (
    AsFormat,
    CandidateId,
    Db,
    Format,
    FrontFormat,
    JobId,
    Server,
    print_json,
    report_front,
)
from dashboards.evidence import EXPLANATIONS, Evidence
from dashboards.service import Service
from dashboards.service.choice import open_service
from dashboards.words import Json
from dashboards.words.candidates import filter_in_words, quality_in_words, training_in_words
from dashboards.words.format_strip import blocks_of
from dashboards.words.learning import curve_columns, curve_rows
from dashboards.words.runtime import costs_in_words
from hwprofiles.errors import NotFound


def front(
    job: JobId,
    device: Annotated[str | None, typer.Option(help="The device, where a job has several.", show_default=False)] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also save the front as a self-contained page.", show_default=False)
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Also save the front as a picture.", show_default=False)] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show every member, also those that are equal within noise.")
    ] = False,
    server: Server = None,
    db: Db = None,
    format: Annotated[
        FrontFormat, typer.Option("--format", help="table for people, csv or json for programs.")
    ] = FrontFormat.TABLE,
) -> None:
    """Print a job's Pareto front."""
    with open_service(server, db) as service:
        document = service.front(job, device=device)
        if html or png:
            points = service.candidates(document["job_id"], device=device)
            from dashboards.web.picture import save_html, save_png

            if html:
                save_html(document, points, html)
                err.print(f"wrote {html}")
            if png:
                save_png(document, points, png)
                err.print(f"wrote {png}")
    report_front(document, format, device, every=every)


def show(candidate: CandidateId, server: Server = None, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Show everything about one candidate, or a job with what its strategy learnt."""
    with open_service(server, db) as service:
        try:
            document, learning = service.candidate(candidate), None
        except NotFound as unknown:
            document, learning = _job_in_place(service, candidate, unknown)
    if format is Format.JSON:
        print_json(document if learning is None else document | {"learning": learning})
    elif learning is None:
        _print_candidate(document)
    else:
        print_status(document)
        rows = curve_rows(learning["rewards"])
        if rows:
            print_rows("learning curve", rows, curve_columns(rows), "")


def _job_in_place(service: Service, text: str, unknown: NotFound) -> tuple[Json, Json]:
    """Returns the status and the learning curve of the job that the text names instead of a candidate; raises
    ``unknown`` if there is no such job."""
    try:
        return service.job(text), service.learning(text)
    except NotFound:
        raise unknown from None


def _print_candidate(document: Json) -> None:
    if document["answer"]:
        out.print(document["answer"], style="bold", soft_wrap=True, markup=False)
    print_fields(candidate_fields(document))
    if document["health"] is not None:
        print_fields(health_fields(document["health"]))
    metrics, evidence = document["metrics"], Evidence(document["evidence"])
    if evidence is not Evidence.MEASURED:
        out.print(EXPLANATIONS[evidence], soft_wrap=True)
    print_fields(metric_fields(metrics, evidence))
    if document["costs"]:
        out.print(f"worse than the baseline: {costs_in_words(document['costs'])}", soft_wrap=True)
    for line in quality_in_words(metrics):
        out.print(line, soft_wrap=True)
    judged = filter_in_words(metrics)
    if judged is not None:
        out.print(f"filtered: {judged}", soft_wrap=True)
    trained = training_in_words(metrics)
    if trained is not None:
        out.print(f"trained again: {trained}", soft_wrap=True)
    for label, standing in document.get("devices", {}).items():
        place = "on the front" if standing["on_front"] else standing["state"]
        why = f": {standing['reason']}" if standing["reason"] else ""
        executed = f", runtime {standing['runtime']}" if standing["runtime"] else ""
        costs = f", {costs_in_words(standing['costs'])}" if standing["costs"] else ""
        out.print(f"{label}: {place}{why}{executed}{costs}", soft_wrap=True)
    display = document.get("display", ())
    strips = [item for item in display if item["kind"] == "strip"]
    for item in strips:
        print_formats(blocks_of(item["blocks"]))
    undecided = {layer: name for item in strips for layer, name in item["fields"].items()}
    print_fields(document["decisions"] | undecided)
    for item in display:
        if item["kind"] == "fields":
            out.print(item["title"], markup=False)
            print_fields(item["fields"])
    print_fields(digest_fields(document))
