"""The arguments of the commands that make a job: run, init, check."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from dashboards.cli.completion import complete_device, complete_metric
from search.job.job_options import DEFAULT_MINUTES, JobOptions

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

_FIELDS: dict[str, tuple[str, Any]] = {
    "data": ("data", Data),
    "device": ("devices", DeviceNames),
    "objective": ("objectives", Objectives),
    "constraint": ("constraints", Constraints),
    "space": ("space", Techniques),
    "minutes": ("minutes", Minutes),
    "trials": ("trials", Trials),
    "seed": ("seed", Seed),
    "name": ("name", Name),
}
"""By argument, the field of :class:`JobOptions` and the option."""


def takes_job_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that make a job, in place of its parameter ``options``."""
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def with_options(**arguments: Any) -> None:
        given = {field: arguments.pop(name) for name, (field, _) in _FIELDS.items()}
        options = JobOptions(**{field: value for field, value in given.items() if value is not None})
        command(**arguments, options=options)

    parts = ([*_OPTIONS] if name == "options" else [parameter] for name, parameter in own.parameters.items())
    parameters = [parameter for part in parts for parameter in part]
    keywords = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
    vars(with_options)["__signature__"] = own.replace(parameters=keywords)
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}
    return with_options


_OPTIONS: Sequence[Parameter] = [
    Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=option) for name, (_, option) in _FIELDS.items()
]
