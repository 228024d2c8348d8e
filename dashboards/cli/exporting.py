"""The command that exports a candidate."""

from __future__ import annotations

import shutil
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from dashboards.cli.console import ProgressBar, err, out
from dashboards.cli.options import AsFormat, CandidateId, Db, Format, Server, existing_store, print_json
from dashboards.figures import figure, metric_title
from dashboards.service import Service
from dashboards.service.choice import choose_server, open_service
from dashboards.words import Json
from dashboards.words.candidates import quality_in_words
from dashboards.words.health import health_in_words
from dashboards.words.runtime import runtime_line, usual_on
from hwprofiles import digest_of_file
from hwprofiles.errors import InvalidInput, NotFound, ParetuneError, StorageError

LOOK_S = 1.0
_FILES = ("manifest.json", "model.onnx", "receipt.json")
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
        float, typer.Option(min=0, metavar="S", help="Measure again for up to S seconds until the machine is quiet.")
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
            receipt = export_there(service, found, folder, options, progress)
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


def export_there(service: Service, candidate: str, folder: Path, options: Json, progress: ProgressBar) -> Json:
    """Has a worker export a candidate (minutes), writes its bundle to a new folder, and returns its receipt.

    Checks the files against the hashes of the bundle and of the receipt.
    """
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise InvalidInput(f"-o: {folder} exists and is not empty", "name a new folder with -o")
    document = service.export(candidate, options)
    while document["state"] not in ("done", "failed"):
        progress.say(document["doing"] or "waiting for a worker")
        time.sleep(LOOK_S)
        document = service.export_state(document["export_id"])
    if document["state"] == "failed":
        raise ParetuneError(document["error"], document["hint"] or "")
    receipt: Json = document["receipt"]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            _unpack(service, document["export_id"], Path(scratch), receipt)
            if folder.exists():
                folder.rmdir()
            shutil.copytree(Path(scratch) / "bundle", folder)
    except OSError as error:
        raise StorageError(f"folder {folder} cannot be written: {error.strerror}", "name another with -o") from None
    return receipt


def _unpack(service: Service, export_id: str, scratch: Path, receipt: Json) -> None:
    service.bundle(export_id, scratch / "bundle.zip")
    with zipfile.ZipFile(scratch / "bundle.zip") as archive:
        for name in _FILES:  # no other names, so that nothing is written elsewhere
            archive.extract(name, scratch / "bundle")
    if digest_of_file(scratch / "bundle" / "model.onnx") != receipt["model_sha256"]:
        raise StorageError("the model is not the one that the receipt is about", "export it again")


def _print_receipt(receipt: Json, folder: Path, usual: Json) -> None:
    latency = receipt["latency"]
    verdict = _VERDICTS.get(receipt["verdict"], receipt["verdict"])
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
