"""The command line. Results go to stdout, progress and errors to stderr; every report takes ``--format json``."""

from __future__ import annotations

import csv
import errno
import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dashboards import documents
from dashboards.console import ProgressBar, err, out, print_error, print_front, print_rows
from dashboards.documents import Json
from dashboards.web.formats import figure, metric_title
from hwprofiles import DEVICES, find_device
from hwprofiles.errors import InvalidInput, NotFound, ParetuneError
from search.folders import default_database
from search.job import Job, json_schema, load_job, parse_job
from search.objectives import metric_value
from search.states import JobState
from search.store import Store, upgrade

app = typer.Typer(
    name="paretune",
    help="Searches compressed versions of your model and measures each one on your device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
devices_app = typer.Typer(help="The devices that a job can measure on.", no_args_is_help=True)
db_app = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(devices_app, name="devices")
app.add_typer(db_app, name="db")


class Format(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"


class FrontFormat(StrEnum):
    """How a front is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


Db = Annotated[
    str | None,
    typer.Option(
        "--db", help="Database URL; default PARETUNE_DB, else a file in your data folder.", show_default=False
    ),
]
AsFormat = Annotated[Format, typer.Option("--format", help="table for people, json for programs.")]
JobId = Annotated[str, typer.Argument(help="Job id, a prefix of it, or its name.", show_default=False)]
CandidateId = Annotated[str, typer.Argument(help="Candidate id or a prefix of it.", show_default=False)]


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    pass


@contextmanager
def _store(url: str | None) -> Iterator[Store]:
    store = Store(url or default_database())
    try:
        yield store
    finally:
        store.close()


def _print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


@app.command()
def run(
    job: Annotated[Path, typer.Argument(help="The job file (YAML).", show_default=False)],
    trials: Annotated[int | None, typer.Option(help="Candidates to try, over the file's.", show_default=False)] = None,
    minutes: Annotated[float | None, typer.Option(help="Time to search, over the file's.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, over the file's.", show_default=False)] = None,
    device: Annotated[str | None, typer.Option(help="Device, over the file's.", show_default=False)] = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Run a search job here, and print its front."""
    from search.controller import submit

    spec = _overridden(load_job(job), job.parent, trials=trials, minutes=minutes, seed=seed, device=device)
    with _store(db) as store:
        job_id = submit(store, spec, job.parent)
        err.print(f"job {job_id} ({spec.name}); another terminal can watch it with: paretune serve", soft_wrap=True)
        _control(store, job_id, format)


@app.command()
def resume(job: JobId, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Go on with a job that was interrupted or killed; nothing finished is lost or repeated."""
    with _store(db) as store:
        row = store.job(job)
        if row.state is JobState.DONE:
            err.print(f"job {row.job_id} is done already")
            _print_front(store, row.job_id, FrontFormat(format.value))
            return
        _control(store, row.job_id, format)


def _control(store: Store, job_id: str, format: Format) -> None:
    from search.controller import Controller

    try:
        with ProgressBar() as progress:
            Controller(store, job_id, progress).run()
    except KeyboardInterrupt:
        err.print(f"interrupted; go on with: paretune resume {job_id}")
        raise
    _print_front(store, job_id, FrontFormat(format.value))


def _overridden(
    job: Job, folder: Path, *, trials: int | None, minutes: float | None, seed: int | None, device: str | None
) -> Job:
    """The job with the flags that were given in the place of the file's fields, validated as a whole again."""
    data = job.model_dump(mode="json")
    data["budget"] |= {key: value for key, value in (("trials", trials), ("minutes", minutes)) if value is not None}
    if seed is not None:
        data["seed"] = seed
    if device is not None:
        data["devices"][0]["name"] = device
    return parse_job(data, folder=folder)


@app.command()
def jobs(db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """List all jobs, the newest first."""
    with _store(db) as store:
        document = documents.jobs_document(store)
    if format is Format.JSON:
        _print_json(document)
        return
    columns = {"job_id": "job", "name": "name", "state": "state", "device": "device", "created_at": "created"}
    print_rows("", document["jobs"], columns, "no jobs yet; start one with: paretune run examples/digits.yaml")


@app.command()
def status(job: JobId, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Where a job stands."""
    with _store(db) as store:
        document = documents.job_document(store, job)
    if format is Format.JSON:
        _print_json(document)
        return
    _print_fields({key: value for key, value in document.items() if not isinstance(value, dict | list)})
    _print_fields({f"trials {state}": count for state, count in document["trials"].items() if count})


@app.command()
def front(
    job: JobId,
    device: Annotated[str | None, typer.Option(help="The device, where a job has several.", show_default=False)] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also save the front as a self-contained page.", show_default=False)
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Also save the front as a picture.", show_default=False)] = None,
    db: Db = None,
    format: Annotated[
        FrontFormat, typer.Option("--format", help="table for people, csv or json for programs.")
    ] = FrontFormat.TABLE,
) -> None:
    """Print a job's Pareto front."""
    with _store(db) as store:
        document = documents.front_document(store, job, device)
        points = documents.trials_document(store, job)
        if html or png:
            from dashboards.web.picture import save_html, save_png

            if html:
                save_html(document, points, html)
                err.print(f"wrote {html}")
            if png:
                save_png(document, points, png)
                err.print(f"wrote {png}")
        _print_front(store, job, format)


def _print_front(store: Store, job: str, format: FrontFormat) -> None:
    document = documents.front_document(store, job)
    if format is FrontFormat.JSON:
        _print_json(document)
    elif format is FrontFormat.CSV:
        _print_csv(document)
    else:
        print_front(document, store.job(job).space)
        best = document["best_compromise"]
        if best and not document["simulated"]:
            out.print(f"best compromise: {best}; export it with: paretune export {best} -o DIR", soft_wrap=True)


def _print_csv(document: Json) -> None:
    metrics = sorted(
        {name for m in document["front"] for name in m["metrics"] if metric_value(m["metrics"], name) is not None}
    )
    names = sorted({name for member in document["front"] for name in member["decisions"]})
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["candidate_id", "trial", "state", *metrics, *names])
    for member in document["front"]:
        figures = [metric_value(member["metrics"], name) for name in metrics]
        writer.writerow(
            [
                member["candidate_id"],
                member["trial"],
                member["state"],
                *figures,
                *(member["decisions"].get(n, "") for n in names),
            ]
        )


@app.command()
def show(candidate: CandidateId, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Everything known of one candidate."""
    with _store(db) as store:
        document = documents.candidate_document(store, candidate)
    if format is Format.JSON:
        _print_json(document)
        return
    _print_fields({key: value for key, value in document.items() if not isinstance(value, dict | list)})
    metrics = document["metrics"]
    _print_fields(
        {metric_title(n): figure(metric_value(metrics, n), n) for n in metrics if metric_value(metrics, n) is not None}
    )
    _print_fields(document["decisions"])


def _print_fields(fields: Json) -> None:
    print_rows("", [{"k": k, "v": v} for k, v in fields.items() if v is not None], {"k": "", "v": ""}, "")


@app.command()
def export(
    candidate: CandidateId,
    folder: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.", show_default=False)],
    device: Annotated[
        str | None, typer.Option(help="Device to export for; default the job's.", show_default=False)
    ] = None,
    target: Annotated[str, typer.Option(help="File format; onnx.")] = "onnx",
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Write a candidate's model with a receipt; exits 4 when the file does not do what the front said."""
    from search.export import export_candidate

    if target != "onnx":
        raise InvalidInput(f"--target: {target!r} is not available", "use --target onnx")
    with _store(db) as store, ProgressBar() as progress:
        receipt = export_candidate(store, candidate, folder, device=device, progress=progress.say)
    if format is Format.JSON:
        _print_json({**receipt, "folder": str(folder)})
    else:
        latency = receipt["latency"]
        out.print(f"[bold]{receipt['verdict']}[/bold]: {folder / 'model.onnx'} ({receipt['size_bytes'] / 1e6:.2f} MB)")
        low, high = latency["speedup"]["ci95"]
        out.print(
            f"speed-up {latency['speedup']['ratio']:.2f}x [{low:.2f}, {high:.2f}], "
            f"p50 {latency['latency_ms']['p50']:.3f} ms"
        )
        for name, loss in receipt["quality"]["test"].items():
            out.print(
                f"{metric_title(name)} on the test split: {figure(loss['value'], name)} "
                f"(fp32 {figure(loss['baseline'], name)})"
            )
    if receipt["verdict"] == "disagrees":
        raise ParetuneError(
            "the exported file does not do what the front said: " + "; ".join(receipt["findings"]),
            f"the bundle is kept in {folder}; measure the job anew",
        )


@app.command()
def profile(
    model: Annotated[Path, typer.Argument(help="An ONNX model.", show_default=False)],
    against: Annotated[
        Path | None, typer.Option(help="A second model to measure the first against.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="Where to measure.")] = "local-cpu",
    threads: Annotated[int, typer.Option(min=1, help="Cores to use.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Samples in one inference, where the model leaves it open.")] = 1,
    format: AsFormat = Format.TABLE,
) -> None:
    """Measure a model on a device, against a second one or against itself."""
    from search.profiling import profile_model

    with ProgressBar() as progress:
        document = profile_model(model, against, find_device(device, threads, batch), progress.say)
    if format is Format.JSON:
        _print_json(document)
        return
    latency = document["latency_ms"]
    low, high = latency["ci95"]
    out.print(
        f"{model}: p50 {latency['p50']:.3f} ms [{low:.3f}, {high:.3f}], n {latency['n']}, on {document['device']}"
    )
    if "speedup" in document:
        low, high = document["speedup"]["ci95"]
        out.print(f"{document['speedup']['ratio']:.2f}x [{low:.2f}, {high:.2f}] as fast as {against}", soft_wrap=True)
    out.print(f"peak memory {document['peak_memory_bytes'] / 1e6:.1f} MB, file {document['size_bytes'] / 1e6:.2f} MB")
    print_rows("", document["operators"], {"operator": "operator", "count": "count"}, "")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address; this machine only by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8700,
    db: Db = None,
) -> None:
    """Show jobs and fronts in the browser, live."""
    from dashboards.server import serve as serve_store

    with _store(db) as store:
        serve_store(store, host, port)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the job file, for editors."""
    _print_json(json_schema())


@devices_app.command("list")
def devices_list(format: AsFormat = Format.TABLE) -> None:
    """List the devices."""
    rows = [_device_row(name) for name in DEVICES]
    if format is Format.JSON:
        _print_json({"devices": rows})
        return
    columns = {
        "device": "device",
        "available": "available",
        "runtime": "runtime",
        "processor": "processor",
        "cores": "cores",
        "reason": "",
    }
    print_rows("", rows, columns, "")


def _device_row(name: str) -> Json:
    try:
        found = find_device(name)
    except ParetuneError as error:
        return {"device": name, "available": False, "reason": f"{error.message}; {error.hint}"}
    return {**found.to_dict(), "profile_digest": found.digest, "available": True}


@devices_app.command("show")
def devices_show(
    device: Annotated[str, typer.Argument(help="The device's name.", show_default=False)],
    format: AsFormat = Format.TABLE,
) -> None:
    """What a device is."""
    if device not in DEVICES:
        raise NotFound(f"there is no device {device!r}", f"known devices: {', '.join(DEVICES)}")
    row = _device_row(device)
    if format is Format.JSON:
        _print_json(row)
    else:
        _print_fields({key: ", ".join(map(str, v)) if isinstance(v, list) else v for key, v in row.items()})


@db_app.command("upgrade")
def db_upgrade(db: Db = None) -> None:
    """Bring the database to this version's schema."""
    before, after = upgrade(db or default_database())
    err.print(f"database at {after}" + ("" if before == after else f", was {before or 'empty'}"))


def run_app(arguments: list[str]) -> int:
    """The exit code of a command line; errors are printed, tracebacks only with ``--debug``."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(args=arguments, prog_name="paretune", standalone_mode=False)
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except (BrokenPipeError, SystemExit):  # the latter is how Typer ends when the reader of stdout has gone
        _abandon_output()
        return 0
    # Whatever it is, a user reads two lines.
    except Exception as error:  # noqa: BLE001
        if debug:
            traceback.print_exc()
        message, hint, code = _explained(error)
        if message:
            print_error(message, hint)
        _abandon_output()
        return code
    return int(code or 0)


def _explained(error: Exception) -> tuple[str, str, int]:
    """What is wrong, how to mend it, and the exit code."""
    if isinstance(error, ParetuneError):
        return error.message, error.hint, error.exit_code
    if isinstance(error, ModuleNotFoundError):
        return f"this command needs the package {error.name!r}", "pip install 'paretune[full]'", 2
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.filename or 'standard output'}: {error.strerror}", "free some space there", 4
    if hasattr(error, "format_message"):  # how Typer says that the command line itself is wrong
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "paretune"
        message = str(error.format_message()).replace("Value error, ", "").rstrip(".")
        return message[:1].lower() + message[1:], f"see: {path} --help", 2
    return f"unexpected {type(error).__name__}: {error}", "run it again with --debug and report what it prints", 4


def _abandon_output() -> None:
    """What could not be written to stdout is not tried again when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
