"""The arguments of the commands that make a job: run, init, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.completion import complete_device, complete_metric
from search.job.target import DEFAULT_MINUTES

TARGET_HELP = "A model (.onnx), a task (my_task.py:make_task) or a job file (.yaml)."

Target = Annotated[str, typer.Argument(metavar="MODEL|TASK|JOB", help=TARGET_HELP, show_default=False)]
Data = Annotated[
    Path | None,
    typer.Option(help="Samples of the model's inputs (.npz); random inputs without it.", show_default=False),
]
DeviceNames = Annotated[
    list[str] | None,
    typer.Option(
        "--device", help="Device to measure on; repeat for several.", show_default=False, autocompletion=complete_device
    ),
]
Objectives = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        help="Metric to optimise: speedup, accuracy:max, size_bytes:min; repeatable.",
        show_default=False,
        autocompletion=complete_metric,
    ),
]
Constraints = Annotated[
    list[str] | None,
    typer.Option(
        "--constraint", help="Condition to meet, such as 'accuracy >= baseline - 0.01'; repeatable.", show_default=False
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        help=f"Time limit (budget.minutes); without a job file {DEFAULT_MINUTES:g}, unless --trials is given.",
        show_default=False,
    ),
]
Trials = Annotated[int | None, typer.Option(help="Most candidates to try (budget.trials).", show_default=False)]
Techniques = Annotated[
    list[str] | None,
    typer.Option("--space", help="Techniques to use, such as precision,graph; repeatable.", show_default=False),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the search (seed).", show_default=False)]
Name = Annotated[str | None, typer.Option(help="Name of the job; else the file's.", show_default=False)]
