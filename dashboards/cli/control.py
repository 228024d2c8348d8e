"""Commands that change jobs: cancel, pause, resume, clone, delete."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.cli.console import err
from dashboards.cli.job_options import takes_job_options
from dashboards.cli.options import AsFormat, Db, Format, FrontFormat, JobId, Server, print_json, report_front
from dashboards.service.choice import choose_server, open_service
from dashboards.service.outgoing import options_document
from dashboards.words import Json
from hwprofiles.errors import InvalidInput, NotFound
from search.job.job_options import JobOptions
from search.states import JobState


def cancel(job: JobId, server: Server = None, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """End a job within seconds; what is finished stays. Or end an export, by its id; nothing of it stays."""
    with open_service(server, db) as service:
        try:
            _print_change(service.cancel(job), format)
        except NotFound as unknown:
            try:
                document = service.cancel_export(job)
            except NotFound:
                raise unknown from None
            if format is Format.JSON:
                print_json(document)
            else:
                err.print(f"export {document['export_id']} is {document['state']}", soft_wrap=True)


def pause(job: JobId, server: Server = None, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Stop a job within seconds, until it is resumed; what is finished stays."""
    with open_service(server, db) as service:
        _print_change(service.pause(job), format)


def resume(job: JobId, server: Server = None, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Continue a job that was interrupted, killed or paused; finished candidates are kept.

    A submitted job returns to the queue, any other goes on here. For a job that is done, retry measurements that the
    machine disturbed; without any, print its front.
    """
    with open_service(server, db) as service:
        if choose_server(server, db) is not None or service.job(job)["detached"]:
            document = service.resume(job)
            if document["state"] == JobState.DONE and format is Format.TABLE:
                err.print(f"job {document['job_id']} is done already")
                report_front(service.front(document["job_id"]), FrontFormat.TABLE)
                return
            _print_change(document, format)
            return
    from dashboards.cli.run import resume_here

    resume_here(job, db, format)


@takes_job_options
def clone(
    job: JobId, options: JobOptions, server: Server = None, db: Db = None, format: AsFormat = Format.TABLE
) -> None:
    """Submit a job like another one, with other options."""
    if options.data is not None:
        raise InvalidInput("--data: a copy has the files of its original", "submit a new job: paretune submit")
    with open_service(server, db) as service:
        _print_change(service.clone(job, options_document(options)), format)


def delete(
    job: JobId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: Server = None,
    db: Db = None,
) -> None:
    """Remove a job that has ended, with all of its results."""
    with open_service(server, db) as service:
        document = service.job(job)
        name = f"job {document['job_id']} ({document['name']})"
        if not (yes or typer.confirm(f"remove {name} with all of its results?", err=True)):
            raise typer.Exit(1)
        service.delete(document["job_id"])
    err.print(f"removed {name}", soft_wrap=True)


def _print_change(document: Json, format: Format) -> None:
    if format is Format.JSON:
        print_json(document)
        return
    job_id, state, requested = document["job_id"], document["state"], document["requested"]
    waits = f"; asked to {requested.replace('_', ' ')}, see: paretune status {job_id}" if requested else ""
    err.print(f"job {job_id} ({document['name']}) is {state}{waits}", soft_wrap=True)
