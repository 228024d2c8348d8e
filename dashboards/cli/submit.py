"""The command that submits a job to workers."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.cli.console import err
from dashboards.cli.following import follow
from dashboards.cli.job_options import Target, takes_job_options
from dashboards.cli.options import AsFormat, Db, Format, FrontFormat, Server, print_json, report_front
from dashboards.service.choice import choose_server, open_service
from dashboards.service.outgoing import read_submission
from search.job.job_options import JobOptions
from search.short_names import short_name


@takes_job_options
def submit(
    target: Target,
    options: JobOptions,
    project: Annotated[str | None, typer.Option(help="Project of the job.", show_default=False)] = None,
    priority: Annotated[
        int, typer.Option(min=-1000, max=1000, help="Of your own queued jobs, the highest begins first.")
    ] = 0,
    after: Annotated[
        list[str] | None, typer.Option(help="Job that must be done before; repeatable.", show_default=False)
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="A second submission with the same key makes no second job.", show_default=False),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, and print the front.")] = False,
    server: Server = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Submit a job to the workers of a server, or of a database. Takes what run takes."""
    local = choose_server(server, db) is None
    submission = read_submission(target, options, local=local)
    place = {"project": project, "after": after or None, "priority": priority or None}
    submission.document.update({name: value for name, value in place.items() if value is not None})
    with open_service(server, db, create=True) as service:
        document = submission.send(service, key)
        job_id = document["job_id"]
        err.print(f"job {job_id} ({document['name']}), or {short_name(job_id)}, is {document['state']}", soft_wrap=True)
        for other in document["after"]:
            name = service.job(other["job_id"])["name"]
            err.print(f"after job {other['job_id']} ({name}), which is {other['state']}", soft_wrap=True)
        for line in document["plan"]:
            err.print(line, soft_wrap=True, markup=False)
        if local and not any(worker["online"] for worker in service.workers()["workers"]):
            err.print("no worker runs; start one with: paretune worker", soft_wrap=True)
        if not wait:
            if format is Format.JSON:
                print_json(document)
            return
        follow(service, job_id)
        report_front(service.front(job_id), FrontFormat(format.value))
