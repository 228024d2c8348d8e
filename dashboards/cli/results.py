"""Commands that show and export a job's results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from dashboards.cli.console import ProgressBar, err, out, print_fields, print_formats
from dashboards.cli.fields import candidate_fields, digest_fields, health_fields, metric_fields
from dashboards.cli.options import (
    AsFormat,
    CandidateId,
    Db,
    Format,
    FrontFormat,
    JobId,
    existing_store,
    print_json,
    report_front,
)
from dashboards.documents.candidates import baseline_on, candidate_document
from dashboards.documents.front import front_document
from dashboards.documents.trials import trials_document
from dashboards.evidence import EXPLANATIONS, Evidence
from dashboards.figures import figure, metric_title
from dashboards.words import Json
from dashboards.words.candidates import quality_in_words, training_in_words
from dashboards.words.format_strip import blocks_of
from dashboards.words.health import health_in_words
from dashboards.words.runtime import costs_in_words, runtime_line
from hwprofiles.errors import InvalidInput, NotFound, ParetuneError
from search.store import Store

_VERDICTS = {"unclaimed": "exported; the search was simulated, so there was nothing to verify"}
"""Verdicts of receipts that are not a word for people."""


def front(
    job: JobId,
    device: Annotated[str | None, typer.Option(help="The device, where a job has several.", show_default=False)] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also save the front as a self-contained page.", show_default=False)
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Also save the front as a picture.", show_default=False)] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show every member, also those that are equal within noise.")
    ] = False,
    db: Db = None,
    format: Annotated[
        FrontFormat, typer.Option("--format", help="table for people, csv or json for programs.")
    ] = FrontFormat.TABLE,
) -> None:
    """Print a job's Pareto front."""
    with existing_store(db) as store:
        document = front_document(store, job, device)
        if html or png:
            points = trials_document(store, job, device)
            from dashboards.web.picture import save_html, save_png

            if html:
                save_html(document, points, html)
                err.print(f"wrote {html}")
            if png:
                save_png(document, points, png)
                err.print(f"wrote {png}")
        report_front(store, job, format, device, every=every)


def show(candidate: CandidateId, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Show everything about one candidate."""
    with existing_store(db) as store:
        document = candidate_document(store, candidate)
    if format is Format.JSON:
        print_json(document)
        return
    if document["answer"]:
        out.print(document["answer"], style="bold", soft_wrap=True, markup=False)
    print_fields(candidate_fields(document))
    if document["health"] is not None:
        print_fields(health_fields(document["health"]))
    metrics, evidence = document["metrics"], Evidence(document["evidence"])
    if evidence is not Evidence.MEASURED:
        out.print(EXPLANATIONS[evidence], soft_wrap=True)
    print_fields(metric_fields(metrics, evidence))
    if document["costs"]:
        out.print(f"worse than the baseline: {costs_in_words(document['costs'])}", soft_wrap=True)
    for line in quality_in_words(metrics):
        out.print(line, soft_wrap=True)
    trained = training_in_words(metrics)
    if trained is not None:
        out.print(f"trained again: {trained}", soft_wrap=True)
    for label, standing in document.get("devices", {}).items():
        place = "on the front" if standing["on_front"] else standing["state"]
        why = f": {standing['reason']}" if standing["reason"] else ""
        executed = f", runtime {standing['runtime']}" if standing["runtime"] else ""
        costs = f", {costs_in_words(standing['costs'])}" if standing["costs"] else ""
        out.print(f"{label}: {place}{why}{executed}{costs}", soft_wrap=True)
    display = document.get("display", ())
    strips = [item for item in display if item["kind"] == "strip"]
    for item in strips:
        print_formats(blocks_of(item["blocks"]))
    undecided = {layer: name for item in strips for layer, name in item["fields"].items()}
    print_fields(document["decisions"] | undecided)
    for item in display:
        if item["kind"] == "fields":
            out.print(item["title"], markup=False)
            print_fields(item["fields"])
    print_fields(digest_fields(document))


def _candidate_or_best(store: Store, text: str, device: str | None) -> str:
    """Returns the id of a candidate, or of the best compromise of the job that the text names."""
    try:
        return store.trials.get(text).candidate_id
    except NotFound as unknown:
        try:
            job_id = store.jobs.get(text).job_id
        except NotFound:
            raise unknown from None
    best: str | None = front_document(store, job_id, device)["best_compromise"]
    if best is None:
        raise NotFound(f"job {text!r} has no best compromise", f"choose a candidate: paretune front {job_id}")
    err.print(f"exporting the best compromise of the job: {best}")
    return best


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
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Write a candidate's model, or a job's best compromise, with a receipt; exits 4 when the file does not reproduce
    the measured result."""
    from search.export.export import export_candidate

    if target != "onnx":
        raise InvalidInput(f"--target: {target!r} is not available", "use --target onnx")
    with existing_store(db) as store, ProgressBar() as progress:
        candidate = _candidate_or_best(store, candidate, device)
        receipt = export_candidate(
            store, candidate, folder, device=device, wait_quiet_s=wait_quiet, progress=progress.say
        )
        usual = baseline_on(store, candidate, receipt["device"])
    if format is Format.JSON:
        print_json({**receipt, "folder": str(folder)})
    else:
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
    check_verdict(receipt, folder)


def check_verdict(receipt: Json, folder: Path) -> None:
    """Raises :class:`ParetuneError` if the exported file does not reproduce the measured result."""
    if receipt["verdict"] == "disagrees":
        raise ParetuneError(
            "the exported file does not reproduce the measured result: " + "; ".join(receipt["findings"]),
            f"the bundle is kept in {folder}; measure the job anew",
        )
