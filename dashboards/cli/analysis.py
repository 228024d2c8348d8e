"""The command that compares pruning with quantisation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.console import ProgressBar, err, out, print_rows
from dashboards.cli.options import AsFormat, Db, Format, print_json, store_if_any
from dashboards.words import Json
from hwprofiles import Profile
from hwprofiles.errors import InvalidInput
from search.devices.lookup import DeviceRegistry
from search.job.profiles import profiles_of
from search.job.spec import Job, load_job

_JOB_FILES = (".yaml", ".yml")


def analyse(
    source: Annotated[Path, typer.Argument(help="An ONNX model, or a job file (YAML).", show_default=False)],
    device: Annotated[
        str | None,
        typer.Option(help="Whose gains to show; default the job's first, else local-cpu.", show_default=False),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Cores of the device, where it is named.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Samples in one inference, where the device is named.")] = 1,
    recover: Annotated[
        bool, typer.Option("--recover", help="Also train the job's model again after both: minutes to hours.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also save it as a self-contained page.", show_default=False)
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Also save the plot as a picture.", show_default=False)] = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """Compare the weight error of quantisation and pruning at equal size, and show the device's speed-ups."""
    from search.analysis import analyse_weights, compare_recovery_of_job, device_view, model_of_file, model_of_job
    from search.devices.capabilities import capability_of

    with store_if_any(db) as store:
        registry = DeviceRegistry(store)
        job = load_job(source, registry) if source.suffix.lower() in _JOB_FILES else None
        if recover and job is None:
            raise InvalidInput(
                "--recover trains the model of a job, and this is a model file",
                "give a job file whose task has a module",
            )
        profile = _profile(registry, job, device, threads, batch)
        with ProgressBar() as progress:
            model = model_of_file(source) if job is None else model_of_job(job, source.parent, progress.say)
            progress.say("quantising and pruning each layer")
            analysis = analyse_weights(model)
            if recover and job is not None:
                analysis["recovered"] = compare_recovery_of_job(job, source.parent, progress.say)
        view = device_view(profile, None if store is None else capability_of(store, profile.digest))
    document = {"model": str(source), **analysis, "device": view}
    if html or png:
        from dashboards.web.analysis_picture import save_html, save_png

        if html:
            save_html(document, html)
            err.print(f"wrote {html}")
        if png:
            save_png(document, png)
            err.print(f"wrote {png}")
    if format is Format.JSON:
        print_json(document)
    else:
        _print(document)


def _profile(registry: DeviceRegistry, job: Job | None, device: str | None, threads: int, batch: int) -> Profile:
    if job is not None and device is None:
        return profiles_of(job, registry)[0].profile
    return registry.find(device or "local-cpu", threads, batch)


def _print(document: Json) -> None:
    layers = len(document["layers"])
    out.print(f"{document['model']}: {layers} layers, {document['weights']} weights", soft_wrap=True)
    rows = [
        {
            "bits": row["bits"],
            "smaller": f"{row['compression']:.3g}x",
            "kept": f"{row['kept_share']:.1%}",
            "quantised": _db(row["quantised_db"]),
            "pruned": _db(row["pruned_db"]),
            "better": f"{row['layers_better_quantised']} of {layers}",
            "normal": f"{_db(row['gaussian']['quantised_db'])} / {_db(row['gaussian']['pruned_db'])}",
        }
        for row in document["bits"]
    ]
    columns = {
        "bits": "bits", "smaller": "smaller", "kept": "weights kept", "quantised": "quantised dB",
        "pruned": "pruned dB", "better": "better quantised", "normal": "normal distribution",
    }  # fmt: skip
    print_rows("Medians over the layers", rows, columns, "")
    sizes = [row["bits"] for row in document["bits"]]
    rows = [
        {
            "name": layer["name"],
            "operator": layer["operator"],
            "weights": layer["weights"],
            "kurtosis": "" if layer["kurtosis"] is None else f"{layer['kurtosis']:.1f}",
            **{str(p["bits"]): f"{_db(p['quantised_db'])} / {_db(p['pruned_db'])}" for p in layer["points"]},
        }
        for layer in document["layers"]
    ]
    columns = {"name": "layer", "operator": "operator", "weights": "weights", "kurtosis": "kurtosis"}
    print_rows("Quantised / pruned, dB", rows, columns | {str(bits): f"{bits} bits" for bits in sizes}, "")
    if "recovered" in document:
        _print_recovery(document["recovered"])
    _print_device(document["device"])


def _print_recovery(recovered: Json) -> None:
    rows = [
        {
            "bits": row["bits"],
            "smaller": f"{row['compression']:.3g}x",
            **{kind: f"{row[kind]['before']:.4f} → {row[kind]['after']:.4f}" for kind in ("quantised", "pruned")},
        }
        for row in recovered["points"]
    ]
    columns = {"bits": "bits", "smaller": "smaller", "quantised": "quantised", "pruned": "pruned"}
    print_rows(f"Trained again, from {recovered['figure']:.4f} as it is", rows, columns, "")


def _print_device(view: Json) -> None:
    if not view["asked"]:
        out.print(
            f"{view['device']} is not probed yet; probe it with: paretune devices capability {view['device']}",
            soft_wrap=True,
        )
        return
    rows = [
        {
            "operator": gain["operator"],
            "precision": gain["precision"] + (f" ({gain['activations']})" if gain["activations"] else ""),
            "best": "–" if gain["best_ratio"] is None else f"{gain['best_ratio']:.2f}x",
            "pays": f"from {gain['pays_from']} channels" if gain["pays_from"] else "never",
        }
        for gain in view["gains"]
    ]
    columns = {"operator": "operator", "precision": "precision", "best": "best", "pays": "faster than fp32"}
    print_rows(f"Speed-ups on {view['device']}", rows, columns, "")
    steps = [f"{operator} in steps of {step}" for operator, step in view["steps"].items() if step]
    if steps:
        out.print(f"fp32 latency grows with channels: {', '.join(steps)}", soft_wrap=True)


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
