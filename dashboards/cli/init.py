"""The command that writes a job file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.console import err, print_error
from dashboards.cli.job_options import takes_job_options
from dashboards.cli.options import Db
from hwprofiles.errors import InvalidInput
from search.devices.lookup import DeviceRegistry
from search.folders import default_database
from search.job.job_file import job_file_text
from search.job.job_options import DEFAULT_MINUTES, JobOptions
from search.job.target import RANDOM_INPUTS, TargetJob, read_target, resolve_target


@takes_job_options
def init(
    *,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL|TASK]",
            help="A model (.onnx) or a task (my_task.py:make_task); asks without one.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write; must not exist.")] = Path("job.yaml"),
    options: JobOptions,
    db: Db = None,
) -> None:
    """Write a commented job file for a model or a task; on a terminal, ask for what is needed."""
    _check_output(output)
    with DeviceRegistry.at(db or default_database()) as registry:
        if target is None:
            if not sys.stdin.isatty():
                raise InvalidInput("no model or task was given", "write: paretune init MODEL.onnx --data SAMPLES.npz")
            target, options = _ask_all(options, registry)
        job = resolve_target(_read(target, options, registry), options, registry)
    text = job_file_text(job, output)
    try:
        with output.open("x") as file:
            file.write(text)
    except OSError as error:
        raise InvalidInput(f"-o: {output} cannot be written: {error.strerror}", "give another file with -o") from None
    if job.has_random_inputs:
        err.print(RANDOM_INPUTS, soft_wrap=True)
    err.print(
        f"wrote {output}; check it with: paretune check {output}; run it with: paretune run {output}", soft_wrap=True
    )


def _check_output(output: Path) -> None:
    if output.exists():
        raise InvalidInput(f"-o: {output} exists already", "give another file with -o, or remove that one")
    if not output.parent.is_dir():
        raise InvalidInput(f"-o: there is no folder {output.parent}", "make it first, or give another file with -o")


def _read(target: str, options: JobOptions, registry: DeviceRegistry) -> TargetJob:
    job = read_target(target, options, registry)
    if job.from_file:
        raise InvalidInput(f"{target} is a job file already", f"run it with: paretune run {target}")
    return job


def _ask_all(options: JobOptions, registry: DeviceRegistry) -> tuple[str, JobOptions]:
    """Asks for the model or task, and for the options that were not given; asks again after a mistake."""
    target = _ask("Model (.onnx) or task (my_task.py:make_task)", "", lambda text: _read(text, options, registry))
    answers = [options]

    def read(given: JobOptions) -> TargetJob:
        return _read(target, given, registry)

    def resolve(given: JobOptions) -> TargetJob:
        return resolve_target(read(given), given, registry)

    def take(check: Callable[[JobOptions], TargetJob], **fields: object) -> None:
        taken = replace(answers[-1], **fields)  # type: ignore[arg-type]
        check(taken)
        answers.append(taken)

    if target.endswith(".onnx") and options.data is None:
        ask_data = "Samples (.npz); empty for random inputs"
        _ask(ask_data, "", lambda text: take(resolve, data=Path(text) if text else None))
    if not options.devices:
        _ask("Devices, separated by commas", "local-cpu", lambda text: take(read, devices=_split(text)))
    if not options.objectives:
        default = ", ".join(goal.metric for goal in resolve(answers[-1]).job.objectives)
        _ask("Objectives, separated by commas", default, lambda text: take(resolve, objectives=_split(text)))
    if options.minutes is None:
        _ask("Minutes", f"{DEFAULT_MINUTES:g}", lambda text: take(read, minutes=_number(text)))
    return target, answers[-1]


def _ask(question: str, default: str, take: Callable[[str], object]) -> str:
    """Asks until ``take`` accepts the answer; returns the answer."""
    while True:
        answer = str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()
        try:
            take(answer)
        except InvalidInput as error:
            print_error(error.message, error.hint)
        else:
            return answer


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not a number", "give minutes, such as 10") from None
