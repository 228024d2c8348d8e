"""Commands that start, continue and list jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dashboards.cli.console import ProgressBar, err, out, print_rows
from dashboards.cli.fields import status_fields
from dashboards.cli.front_table import print_answer
from dashboards.cli.options import (
    AsFormat,
    Db,
    Format,
    FrontFormat,
    JobId,
    existing_store,
    is_new_home,
    open_store,
    print_coverage,
    print_fields,
    print_json,
    report_front,
)
from dashboards.documents.jobs import device_names, job_document, jobs_document, state_in_words
from dashboards.documents.time_spent import left_in_words, spent_in_words
from dashboards.figures import moment
from search.controller.open_results import has_open_results
from search.devices.lookup import NO_AGENTS, DeviceRegistry
from search.folders import default_database
from search.job.spec import Job, load_job, parse_job
from search.states import JobState
from search.store import Store


def run(
    job: Annotated[Path, typer.Argument(help="The job file (YAML).", show_default=False)],
    trials: Annotated[
        int | None, typer.Option(help="Overrides budget.trials in the job file.", show_default=False)
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Overrides budget.minutes in the job file.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Overrides seed in the job file.", show_default=False)] = None,
    device: Annotated[str | None, typer.Option(help="Overrides devices in the job file.", show_default=False)] = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Run a search job here, and print its front."""
    from search.controller.submission import submit
    from search.job.metric_names import check_metrics

    with DeviceRegistry.at(db or default_database()) as registry:
        file = load_job(job, registry)
        spec = _override(file, job.parent, registry, trials=trials, minutes=minutes, seed=seed, device=device)
        check_metrics(spec, job.parent, registry)
    with open_store(db) as store:
        job_id = submit(store, spec, job.parent)
        err.print(f"job {job_id} ({spec.name}); another terminal can watch it with: paretune serve", soft_wrap=True)
        _control(store, job_id, format)


def resume(job: JobId, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Continue an interrupted or killed job; finished candidates are kept. For a job that is done, retry measurements
    that the machine disturbed."""
    with existing_store(db) as store:
        row = store.jobs.get(job)
        if row.state is JobState.DONE and not has_open_results(store, row.job_id):
            err.print(f"job {row.job_id} is done already")
            report_front(store, row.job_id, FrontFormat(format.value))
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
    report_front(store, job_id, FrontFormat(format.value))


def _override(
    job: Job,
    folder: Path,
    registry: DeviceRegistry = NO_AGENTS,
    *,
    trials: int | None,
    minutes: float | None,
    seed: int | None,
    device: str | None,
) -> Job:
    """Returns the job with flags in place of the file's fields, validated again."""
    data = job.model_dump(mode="json")
    data["budget"] |= {key: value for key, value in (("trials", trials), ("minutes", minutes)) if value is not None}
    if seed is not None:
        data["seed"] = seed
    if device is not None:
        data["devices"] = _select_devices(data["devices"], job.labels, device)
    return parse_job(data, folder=folder, registry=registry)


def _select_devices(devices: list[dict[str, Any]], labels: Sequence[str], name: str) -> list[dict[str, Any]]:
    """Returns the devices with that label or name; without any, all devices under that name, without duplicates."""
    matches = [row for row, label in zip(devices, labels, strict=True) if name in (label, row["name"])]
    selected = matches or [row | {"name": name} for row in devices]
    return [row for number, row in enumerate(selected) if row not in selected[:number]]


def jobs(db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """List all jobs, the newest first."""
    document: dict[str, Any] = {"jobs": []}
    if not is_new_home(db):
        with existing_store(db) as store:
            document = jobs_document(store)
    if format is Format.JSON:
        print_json(document)
        return
    columns = {"job_id": "job", "name": "name", "state": "state", "device": "device", "created_at": "created"}
    rows = [
        job
        | {
            "device": ", ".join(device_names(job)),
            "state": state_in_words(job),
            "created_at": moment(job["created_at"]),
        }
        for job in document["jobs"]
    ]
    print_rows("", rows, columns, "no jobs yet; start one with: paretune run JOB.yaml")


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
