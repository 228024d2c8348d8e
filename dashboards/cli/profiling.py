"""The command that measures any model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.options import AsFormat, Format, print_json
from dashboards.console import ProgressBar, out, print_rows
from hwprofiles import find_device


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
        print_json(document)
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
