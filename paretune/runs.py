"""Starts searches from Python."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dashboards.cli.console import ProgressBar, err
from dashboards.cli.options import open_store
from hwprofiles.errors import InvalidInput
from paretune.hints import hints_shown
from paretune.results import Result
from paretune.results import open as open_result
from search.devices.lookup import DeviceRegistry
from search.folders import default_database
from search.job.job_options import JobOptions
from search.job.spec import Job, parse_job
from search.job.target import TargetJob, read_mapping, read_target, resolve_target
from search.tasks import Task

Target = str | os.PathLike[str] | Mapping[str, Any] | Job | Callable[..., Task]
Space = Sequence[str] | Mapping[str, Mapping[str, Any]]

_USER_MODULE = "paretune_user_task_"
"""How modules of tasks are called while a search imports them."""

_TO_FILE = "save it in my_task.py (in a notebook: %%writefile my_task.py) and run 'my_task.py:make_task'"


@hints_shown()
def run(
    target: Target,
    *,
    data: str | os.PathLike[str] | None = None,
    device: str | Sequence[str] = (),
    objectives: Sequence[str] = (),
    constraints: Sequence[str] = (),
    minutes: float | None = None,
    trials: int | None = None,
    space: Space = (),
    name: str | None = None,
    db: str | None = None,
    progress: bool = True,
) -> Result:
    """Runs a search on this machine and return its result; takes what ``paretune run`` takes.

    Args:
        target: An ONNX model, ``my_task.py:make_task`` or that function itself, a job file, or a job as a dictionary.
        data: A NumPy archive of samples for an ONNX model; random inputs without it.
        device: One device, or several.
        objectives: Metrics such as ``accuracy`` or ``size_bytes:min``.
        constraints: Such as ``accuracy >= baseline - 0.01``.
        minutes: For everything: preparing, searching and the final measurements.
        trials: Most candidates to try.
        space: Names of techniques, or techniques with their options.
        name: The job's name; default: the file's.
        db: Database URL; default: as for the command line.
        progress: Whether to show on stderr how it goes.

    Raises:
        ParetuneError: The job is not valid, a device is missing, or the search failed.
    """
    _refuse_import()
    options = JobOptions(
        data=_path_of(data), devices=_as_list(device), objectives=_as_list(objectives),
        constraints=_as_list(constraints), space=() if isinstance(space, Mapping) else _as_list(space),
        minutes=minutes, trials=trials, name=name,
    )  # fmt: skip
    with DeviceRegistry.at(db or default_database()) as registry:
        job = _read(target, options, registry)
        if isinstance(space, Mapping):
            fields = job.job.to_dict() | {"space": space}
            job = replace(job, job=parse_job(fields, folder=job.folder, registry=registry))
        job = resolve_target(job, options, registry)
    return _search(job, db, progress)


def _search(job: TargetJob, db: str | None, progress: bool) -> Result:
    from search.controller.controller import Controller
    from search.controller.submission import submit

    with open_store(db) as store:
        job_id = submit(store, job.job, job.folder)
        if progress:
            said = f"job {job_id} ({job.job.name}); a terminal can watch it with: paretune serve"
            for line in (said, *job.plan):
                err.print(line, soft_wrap=True, markup=False)
        try:
            with ProgressBar(shown=progress) as bar:
                Controller(store, job_id, bar).run()
        except KeyboardInterrupt:
            err.print(f"interrupted; go on in a terminal with: paretune resume {job_id}", soft_wrap=True)
            raise
    return open_result(job_id, db)


def _read(target: object, options: JobOptions, registry: DeviceRegistry) -> TargetJob:
    if isinstance(target, str | os.PathLike):
        return read_target(os.fspath(target), options, registry)
    if isinstance(target, Mapping | Job):
        if options.data is not None:
            raise InvalidInput("data: a job names its own data", "write it into task.options.data")
        data = target.to_dict() if isinstance(target, Job) else dict(target)
        return read_mapping(data, options, Path(), registry)
    if callable(target):
        return read_target(_place_of(target), options, registry)
    what = "a finished task" if isinstance(target, Task) else f"a value of type {type(target).__name__}"
    raise InvalidInput(f"a search cannot start from {what}", f"its processes make the task themselves: {_TO_FILE}")


def _place_of(function: Callable[..., Task]) -> str:
    """``FILE:FUNCTION`` of a function; raises :class:`InvalidInput` if processes cannot import it from a file."""
    name = getattr(function, "__qualname__", type(function).__name__)
    try:
        file = Path(inspect.getsourcefile(function) or "")
    except TypeError:
        file = Path()
    if not file.is_file() or file.suffix != ".py" or not name.isidentifier() or "ipykernel" in str(file):
        raise InvalidInput(f"the search's processes cannot import {name}: it is not a function of a file", _TO_FILE)
    return f"{file}:{name}"


def _path_of(data: str | os.PathLike[str] | None) -> Path | None:
    if data is None or isinstance(data, str | os.PathLike):
        return None if data is None else Path(data)
    raise InvalidInput(
        f"data: must be the path of a file, not a {type(data).__name__}",
        "save the arrays first: numpy.savez('samples.npz', **arrays)",
    )


def _as_list(texts: str | Sequence[str] | None) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts or ())


def _refuse_import() -> None:
    """Raises :class:`InvalidInput` while a search imports the file of its task: that would start it again."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if str(frame.f_globals.get("__name__")).startswith(_USER_MODULE):
            raise InvalidInput(
                "paretune.run was called by the import of its task's file; put it below: if __name__ == '__main__':"
            )
