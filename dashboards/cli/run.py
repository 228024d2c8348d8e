"""The command that runs a job here."""

from __future__ import annotations

from dashboards.cli.console import ProgressBar, err
from dashboards.cli.job_options import Target, takes_job_options
from dashboards.cli.options import AsFormat, Db, Format, FrontFormat, existing_store, open_store, report_front
from dashboards.documents.front import front_document
from search.controller.open_results import has_open_results
from search.devices.lookup import DeviceRegistry
from search.folders import default_database
from search.job.job_options import JobOptions
from search.job.target import read_target, resolve_target
from search.short_names import short_name
from search.states import JobState
from search.store import Store


@takes_job_options
def run(
    target: Target,
    options: JobOptions,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Run a search job here, and print its front. Options override the fields of a job file."""
    from search.controller.submission import submit

    with DeviceRegistry.at(db or default_database()) as registry:
        job = resolve_target(read_target(target, options, registry), options, registry)
    with open_store(db) as store:
        job_id = submit(store, job.job, job.folder)
        err.print(
            f"job {job_id} ({job.job.name}), or {short_name(job_id)}; another terminal can watch it with: "
            "paretune serve",
            soft_wrap=True,
        )
        for line in job.plan:
            err.print(line, soft_wrap=True)
        _control(store, job_id, format)


def resume_here(job: str, db: str | None, format: Format) -> None:
    """Continues a job in this process, and prints its front."""
    with existing_store(db) as store:
        row = store.jobs.get(job)
        if row.state is JobState.DONE and not has_open_results(store, row.job_id):
            err.print(f"job {row.job_id} is done already")
            report_front(front_document(store, row.job_id), FrontFormat(format.value))
            return
        _control(store, row.job_id, format)


def _control(store: Store, job_id: str, format: Format) -> None:
    from search.controller.controller import Controller

    try:
        with ProgressBar() as progress:
            Controller(store, job_id, progress).run()
    except KeyboardInterrupt:
        err.print(f"interrupted; go on with: paretune resume {job_id}")
        raise
    report_front(front_document(store, job_id), FrontFormat(format.value))
