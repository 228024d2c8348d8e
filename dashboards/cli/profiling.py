"""The command that measures any model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.options import AsFormat, Format, print_json
from dashboards.console import ProgressBar, out, print_rows
from hwprofiles import find_device

_SLOWEST = 12
"""Nodes in the table; all of them are in the JSON."""


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
    """Measure a model on a device, against a second one or against itself, and say why it is not faster."""
    from search.profiling import profile_model

    with ProgressBar() as progress:
        document = profile_model(model, against, find_device(device, threads, batch), progress.say)
    if format is Format.JSON:
        print_json(document)
        return
    latency = document["latency_ms"]
    low, high = latency["ci95"]
    out.print(
        f"{model}: p50 {latency['p50']:.3f} ms [{low:.3f}, {high:.3f}], n {latency['n']}, on {document['device']}",
        soft_wrap=True,
    )
    if "speedup" in document:
        low, high = document["speedup"]["ci95"]
        out.print(f"{document['speedup']['ratio']:.2f}x [{low:.2f}, {high:.2f}] as fast as {against}", soft_wrap=True)
    out.print(f"peak memory {document['peak_memory_bytes'] / 1e6:.1f} MB, file {document['size_bytes'] / 1e6:.2f} MB")
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


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
