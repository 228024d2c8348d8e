"""The command that probes a device's capability."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.cli.completion import complete_device
from dashboards.cli.console import ProgressBar, err, out, print_rows
from dashboards.cli.options import AsFormat, Db, Format, open_store, print_json
from dashboards.figures import precision_title
from dashboards.service.choice import open_service
from dashboards.words import Json
from hwprofiles.errors import DeviceUnavailable, InvalidInput
from search.folders import default_database


def devices_capability(
    device: Annotated[
        str, typer.Argument(help="The device's name.", show_default=False, autocompletion=complete_device)
    ],
    threads: Annotated[int, typer.Option(min=1, help="Cores to use.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Samples in one inference of the jobs to serve.")] = 1,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask everything again.")] = False,
    server: Annotated[
        str | None,
        typer.Option(help="Address of a server, whose stored answers are shown; nothing is asked.", show_default=False),
    ] = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Ask a device which precisions it executes, what each gains, and in which steps latency grows."""
    if server is None:
        document = _probe(device, threads, batch, refresh, db)
    elif refresh or threads != 1 or batch != 1:
        raise InvalidInput(
            "--server: a server shows what the device last answered, and asks nothing",
            "leave out --refresh, --threads and --batch, or run the command where the database is",
        )
    else:
        with open_service(server, db) as service:
            document = service.capability(device)
    if format is Format.JSON:
        print_json(document)
    else:
        _print(document)
    if not document["complete"]:
        err.print(
            f"some probes were disturbed by other load; to finish, run: paretune devices capability {device}",
            soft_wrap=True,
        )


def _probe(device: str, threads: int, batch: int, refresh: bool, db: str | None) -> Json:
    """Asks a device what is not known of it, stores the answers, and returns all of them."""
    from dashboards.documents.capability import document_of
    from search.devices.capabilities import probe_and_store
    from search.devices.lookup import DeviceRegistry

    with DeviceRegistry.at(db or default_database()) as registry:
        profile = registry.find(device, threads, batch)
    if profile.simulated:
        raise DeviceUnavailable(
            f"device {device!r} is simulated: there is nothing to probe",
            "probe one that measures, such as this machine: paretune devices capability local-cpu",
        )
    with open_store(db) as store, ProgressBar() as progress:
        return document_of(profile, probe_and_store(store, profile, progress.say, refresh=refresh))


def _print(document: Json) -> None:
    out.print(f"{document['device']}: {document['runtime']} {document['runtime_version']} on {document['processor']}")
    columns = {
        "operator": "operator", "precision": "precision", "best": "best", "pays": "pays", "step": "steps of",
        "executes": "executes",
    }  # fmt: skip
    print_rows("", [_row(sweep) for sweep in document["sweeps"]], columns, "")


def _row(sweep: Json) -> Json:
    best, pays_from = sweep["best_ratio"], sweep["pays_from"]
    if sweep["precision"] == "fp32":
        best_text, pays = "", ""
    elif best is None:
        best_text, pays = "–", "does not run" if all(p["reason"] for p in sweep["points"]) else ""
    else:
        best_text, pays = f"{best:.2f}×", f"from {pays_from} channels" if pays_from else "never"
    return {
        "operator": sweep["operator"],
        "precision": precision_title(sweep),
        "best": best_text,
        "pays": pays,
        "step": sweep["step"] or "–",
        "executes": ", ".join(sweep["executes"][:3]) or "–",
    }
