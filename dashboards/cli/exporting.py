"""The command that exports a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from dashboards.cli.console import ProgressBar, err, out
from dashboards.cli.options import AsFormat, CandidateId, Db, Format, Server, existing_store, print_json
from dashboards.figures import figure, metric_title
from dashboards.service import Service
from dashboards.service.bundles import export_there
from dashboards.service.choice import choose_server, open_service
from dashboards.words import Json
from dashboards.words.candidates import quality_in_words
from dashboards.words.health import health_in_words
from dashboards.words.runtime import runtime_line, usual_on
from hwprofiles.errors import InvalidInput, NotFound, ParetuneError
from search.bounds import MOST_SECONDS

_VERDICTS = {"unclaimed": "exported; the search was simulated, so there was nothing to verify"}
"""Verdicts of receipts that are not a word for people."""


def export(
    candidate: CandidateId,
    folder: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.", show_default=False)],
    device: Annotated[
        str | None, typer.Option(help="Device to export for; default the job's.", show_default=False)
    ] = None,
    target: Annotated[str, typer.Option(help="File format; onnx.")] = "onnx",
    wait_quiet: Annotated[
        float,
        typer.Option(
            min=0, max=MOST_SECONDS, metavar="S", help="Measure again for up to S seconds until the machine is quiet."
        ),
    ] = 0.0,
    server: Server = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Write a candidate's model, or a job's best compromise, with a receipt; exits 4 when the file does not reproduce
    the measured result."""
    if target != "onnx":
        raise InvalidInput(f"--target: {target!r} is not available", "use --target onnx")
    with open_service(server, db) as service, ProgressBar() as progress:
        found = candidate_or_best(service, candidate, device)
        if choose_server(server, db) is None:
            receipt = _export_here(found, folder, device, wait_quiet, db, progress)
        else:
            options = {"wait_quiet_s": wait_quiet, **({} if device is None else {"device": device})}
            receipt = export_there(service, found, folder, options, progress.say)
        usual = usual_on(service.candidate(found), receipt["device"])
    if format is Format.JSON:
        print_json({**receipt, "folder": str(folder)})
    else:
        _print_receipt(receipt, folder, usual)
    check_verdict(receipt, folder)


def candidate_or_best(service: Service, text: str, device: str | None) -> str:
    """Returns the id of a candidate, or of the best compromise of the job that the text names."""
    try:
        return str(service.candidate(text)["candidate_id"])
    except NotFound as unknown:
        try:
            front = service.front(text, device=device)
        except NotFound:
            raise unknown from None
    best: str | None = front["best_compromise"]
    if best is None:
        job_id = front["job_id"]
        raise NotFound(f"job {text!r} has no best compromise", f"choose a candidate: paretune front {job_id}")
    err.print(f"exporting the best compromise of the job: {best}")
    return best


def _export_here(
    candidate: str, folder: Path, device: str | None, wait_quiet: float, db: str | None, progress: ProgressBar
) -> Json:
    from search.export.export import export_candidate

    with existing_store(db) as store:
        return export_candidate(store, candidate, folder, device=device, wait_quiet_s=wait_quiet, progress=progress.say)


def _print_receipt(receipt: Json, folder: Path, usual: Mapping[str, Any]) -> None:
    latency = receipt["latency"]
    verdict = str(_VERDICTS.get(receipt["verdict"], receipt["verdict"]))
    file = f"{folder / 'model.onnx'} ({receipt['size_bytes'] / 1e6:.2f} MB)"
    out.print(Text.assemble((verdict, "bold"), f": {file}"), soft_wrap=True)
    if latency is None:
        out.print(f"no latency is claimed: {receipt['latency_missing']}", soft_wrap=True)
    else:
        low, high = latency["speedup"]["ci95"]
        out.print(
            f"speed-up {latency['speedup']['ratio']:.2f}x [{low:.2f}, {high:.2f}], "
            f"p50 {latency['latency_ms']['p50']:.3f} ms"
        )
    if receipt["health"] is not None:
        out.print(f"measured on a machine that was {health_in_words(receipt['health'])}", soft_wrap=True)
    for line in quality_in_words(receipt):
        out.print(line, soft_wrap=True)
    for name, loss in receipt["quality"]["test"].items():
        out.print(
            f"{metric_title(name)} on the test split: {figure(loss['value'], name)} "
            f"(fp32 {figure(loss['baseline'], name)})"
        )
    if receipt["measurement"] is not None:
        out.print(runtime_line(receipt["measurement"]["runtime"], receipt, usual), soft_wrap=True)
    for reason in receipt["reasons"]:
        out.print(f"inconclusive: {reason}", soft_wrap=True)
    if receipt["verdict"] == "inconclusive" and receipt["latency"] is not None:
        err.print("hint: export again on a quiet machine, or with --wait-quiet 600")


def check_verdict(receipt: Json, folder: Path) -> None:
    """Raises :class:`ParetuneError` if the exported file does not reproduce the measured result."""
    if receipt["verdict"] == "disagrees":
        raise ParetuneError(
            "the exported file does not reproduce the measured result: " + "; ".join(receipt["findings"]),
            f"the bundle is kept in {folder}; measure the job anew",
        )
