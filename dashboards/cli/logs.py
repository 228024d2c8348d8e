"""The command that prints a job's log."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.text import Text

from dashboards.cli.console import out
from dashboards.cli.options import AsFormat, Db, Format, JobId, Server, print_json
from dashboards.service.base import LINES
from dashboards.service.choice import open_service
from dashboards.words import Json
from search.states import JobState

LOOK_S = 1.0
_STYLES = {"warning": "yellow", "error": "bold red"}


def logs(
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    server: Server = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Print what a job's workers wrote."""
    lines: list[Json] = []
    with open_service(server, db) as service:
        job_id, after = service.job(job)["job_id"], 0
        while True:
            over = not follow or JobState(service.job(job_id)["state"]).ended  # before reading: no line comes after
            while (page := service.logs(job_id, after=after))["lines"]:
                after = page["last"]
                if format is Format.JSON:
                    lines += page["lines"]
                else:
                    for line in page["lines"]:
                        _print(line)
                if len(page["lines"]) < LINES:
                    break
            if over:
                break
            time.sleep(LOOK_S)
    if format is Format.JSON:
        print_json({"job_id": job_id, "lines": lines})


def _print(line: Json) -> None:
    moment = line["at"].partition(".")[0].replace("T", " ").removesuffix("+00:00")
    out.print(Text.assemble((moment, "dim"), " ", (line["text"], _STYLES.get(line["level"], ""))), soft_wrap=True)
