"""The command that measures any ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dashboards.cli.completion import complete_device
from dashboards.cli.console import ProgressBar, out, print_rows
from dashboards.cli.options import AsFormat, Format, print_json
from dashboards.words import Json
from dashboards.words.health import health_in_words
from search.devices.lookup import DeviceRegistry
from search.folders import default_database

_SLOWEST = 12
"""Number of nodes in the table; the JSON has all of them."""


def profile(
    model: Annotated[Path, typer.Argument(help="An ONNX model, or the folder of an export.", show_default=False)],
    against: Annotated[
        Path | None, typer.Option(help="A second model to measure the first against.", show_default=False)
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="What executes the model, e.g. openvino:bf16; default: what an export's manifest names, "
            "else the device's first one.",
            show_default=False,
        ),
    ] = None,
    against_runtime: Annotated[
        str | None, typer.Option(help="The same for the second model.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="Where to measure.", autocompletion=complete_device)] = "local-cpu",
    threads: Annotated[int, typer.Option(min=1, help="Cores to use.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Samples in one inference, where the model leaves it open.")] = 1,
    throughput: Annotated[bool, typer.Option("--throughput", help="Also measure it under several streams.")] = False,
    streams: Annotated[int, typer.Option(min=0, help="Inferences under way at once. 0: as many as threads.")] = 0,
    format: AsFormat = Format.TABLE,
) -> None:
    """Measure a model on a device, against a second one or against itself, and say why it is not faster."""
    from evaluators.measuring.throughput import Load
    from search.analysis.profiling import profile_model

    with ProgressBar() as progress, DeviceRegistry.at(default_database()) as registry:
        load = Load(streams=streams) if throughput or streams else None
        document = profile_model(
            model, against, registry.find(device, threads, batch), progress.say,
            load=load, runtime=runtime, against_runtime=against_runtime,
        )  # fmt: skip
    if format is Format.JSON:
        print_json(document)
        return
    print_profile(document)


def print_profile(document: Json) -> None:
    """Prints the document of a profile."""
    model, against = document["model"], document.get("against")
    latency = document["latency_ms"]
    low, high = latency["ci95"]
    out.print(
        f"{model}: p50 {latency['p50']:.3f} ms [{low:.3f}, {high:.3f}], n {latency['n']}, "
        f"on {document['device']} in {_runtime(document['runtime'])}",
        soft_wrap=True,
    )
    if "speedup" in document:
        low, high = document["speedup"]["ci95"]
        there = f"{against} in {_runtime(document['against_runtime'])}"
        out.print(f"{document['speedup']['ratio']:.2f}x [{low:.2f}, {high:.2f}] as fast as {there}", soft_wrap=True)
        for name, other in document["matched_inputs"].items():
            out.print(f"input {name!r} was matched with {other!r} there, by position, type and shape", soft_wrap=True)
    if "throughput" in document:
        out.print(_throughput(document["throughput"], against), soft_wrap=True)
    out.print(f"peak memory {document['peak_memory_bytes'] / 1e6:.1f} MB, file {document['size_bytes'] / 1e6:.2f} MB")
    if document["health"] is not None:
        out.print(f"the machine was {health_in_words(document['health'])}", soft_wrap=True)
    for finding in document["findings"]:
        out.print(f"- {finding['text']}", soft_wrap=True)
    slowest = sorted(document["layers"], key=lambda layer: -layer["ms"])[:_SLOWEST]
    rows = [
        layer | {"ms": f"{layer['ms']:.3f}", "share": f"{layer['share']:.0%}", "against_ms": _ms(layer["against_ms"])}
        for layer in slowest
    ]
    columns = {"name": "slowest nodes", "operator": "operator", "type": "type", "ms": "ms", "share": "share"}
    if against is not None:
        columns["against_ms"] = "ms there"
    print_rows("", rows, columns, "")


def _throughput(measured: dict[str, Any], against: str | None) -> str:
    low, high = measured["per_s_ci95"]
    streams = f"{measured['streams']} stream{'' if measured['streams'] == 1 else 's'}"
    text = f"{measured['per_s']:.1f} samples/s [{low:.1f}, {high:.1f}] under {streams}"
    low, high = measured["ci95"]
    return text + (f", {measured['ratio']:.2f}x [{low:.2f}, {high:.2f}] those of {against}" if against else "")


def _runtime(runtime: Json) -> str:
    named = ", which its export names" if runtime["by_bundle"] else ""
    return f"{runtime['name']} {runtime['version']}{named}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
