"""The command that checks a job without starting it."""

from __future__ import annotations

from typing import Any

from dashboards.cli.console import ProgressBar, out, print_rows
from dashboards.cli.job_options import Target, takes_job_options
from dashboards.cli.options import AsFormat, Db, Format, print_json
from dashboards.figures import duration, figure
from dashboards.words import Json
from search.devices.lookup import DeviceRegistry
from search.folders import default_database
from search.job.devices import JobDevice
from search.job.job_options import JobOptions
from search.job.profiles import profiles_of
from search.job.target import TargetJob, read_target, resolve_target
from search.space.coverage_words import COVERAGE, coverage_lines

_MOST_VALUES = 8
_COUNTABLE = 10**6


@takes_job_options
def check(
    target: Target,
    options: JobOptions,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Check a job without starting it: opens its task and devices, shows its space, estimates its time."""
    from search.analysis.forecast import forecast

    with DeviceRegistry.at(db or default_database()) as registry:
        job = resolve_target(read_target(target, options, registry), options, registry)
        devices = profiles_of(job.job, registry)
    with ProgressBar() as progress:
        document = _document(job, devices, forecast(job.job, job.folder, devices, progress.say))
    if format is Format.JSON:
        print_json(document)
        return
    _print(document, job.default_objectives)
    if not job.from_file:
        out.print(job.limits_in_words, soft_wrap=True)


def _document(job: TargetJob, devices: tuple[JobDevice, ...], space: Json) -> Json:
    return {
        "job": job.job.model_dump(mode="json"),
        "folder": str(job.folder.resolve()),
        "devices": [
            {
                "device": device.label,
                "profile_digest": device.profile.digest,
                "simulated": device.profile.simulated,
                "runtime": None if device.profile.simulated else device.profile.runtime,
                "runtimes": space["runtimes"].get(device.label, []),
            }
            for device in devices
        ],
        **{key: value for key, value in space.items() if key != "runtimes"},
    }


def _print(document: Json, default_objectives: str) -> None:
    job, space = document["job"], document["space"]
    out.print(f"[bold]{job['name']}[/bold]: can be run", soft_wrap=True)
    for row in document["devices"]:
        out.print(f"device {row['device']}: {_device_in_words(row)}", soft_wrap=True)
    goals = ", ".join(f"{goal['metric']} ({goal['direction']})" for goal in job["objectives"])
    why = f" ({default_objectives})" if default_objectives else ""
    out.print(f"objectives: {goals}{why}", soft_wrap=True, markup=False)
    for text in job["constraints"]:
        out.print(f"constraint: {text}", soft_wrap=True, markup=False)
    for note in document["notes"]:
        out.print(f"note: {note}", soft_wrap=True, markup=False)
    size = f"{space['size']:,}" if space["size"] < _COUNTABLE else f"about {float(space['size']):.0e}"
    out.print(f"space: {space['decisions']} decisions, {size} candidates", soft_wrap=True)
    rows = [{**row, "values": _values_in_words(row, document)} for row in space["techniques"]]
    print_rows("", rows, {"technique": "technique", "decisions": "decisions", "values": "values"}, "")
    for line in coverage_lines(document[COVERAGE]) if document[COVERAGE] else ():
        out.print(line, soft_wrap=True, markup=False)
    if any(not row["simulated"] for row in document["devices"]):
        out.print(
            "a run benchmarks these values on the device first, and leaves out those that are not faster there",
            soft_wrap=True,
        )
    _print_estimate(document)


def _device_in_words(row: Json) -> str:
    return "simulated, measures nothing" if row["simulated"] else f"available, runtime {row['runtime']}"


def _values_in_words(row: Json, document: Json) -> str:
    """Returns the values of a technique's decisions; of the runtime, which only a benchmark decides, the candidates."""
    if row["technique"] == "runtime" and not row["decisions"]:
        names = dict.fromkeys(name for device in document["devices"] for name in device["runtimes"])
        return f"to be benchmarked: {', '.join(names)}" if len(names) > 1 else "one runtime"
    values = row["values"][:_MOST_VALUES]
    return (", ".join(values) + ", …" * (len(row["values"]) > _MOST_VALUES)) or "nothing to decide in this model"


def _print_estimate(document: Json) -> None:
    estimate: dict[str, Any] | None = document["estimate"]
    if estimate is None:
        out.print("time: not estimated, nothing was measured")
        return
    latency = figure(estimate["latency_ms"], "latency_ms")
    out.print(
        f"time (a rough estimate): {duration(estimate['total_s'])} for about {estimate['candidates']} candidates, "
        f"{duration(estimate['candidate_s'])} each; one inference of the fp32 model takes about {latency}",
        soft_wrap=True,
    )
