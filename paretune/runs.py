"""Starts searches from Python."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dashboards.cli.console import ProgressBar, err
from dashboards.cli.options import open_store
from evaluators.metrics import METRICS, base_of
from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from paretune.hints import hints_shown
from paretune.results import Result
from paretune.results import open as open_result
from search.devices.lookup import DeviceRegistry
from search.folders import default_database
from search.job.spec import Job, load_job, parse_job

Target = str | os.PathLike[str] | Mapping[str, Any] | Job | Callable[..., Any]
Objective = str | Mapping[str, Any]

_USER_MODULE = "paretune_user_task_"
"""How modules of tasks are called while a search imports them."""


@hints_shown()
def run(
    target: Target,
    *,
    data: str | os.PathLike[str] | None = None,
    device: str | Sequence[str] | None = None,
    objectives: Sequence[Objective] | None = None,
    constraints: Sequence[str] | None = None,
    minutes: float | None = None,
    trials: int | None = None,
    space: Mapping[str, Mapping[str, Any]] | None = None,
    name: str | None = None,
    db: str | None = None,
    progress: bool = True,
) -> Result:
    """Run a search on this machine and return its result.

    ``target`` is a job file, a job as a dictionary, an ONNX model with ``data`` (a NumPy archive of samples), or a
    function that returns a task: itself, or as ``"my_task.py:make_task"``. Arguments override fields of a job. An
    objective is a metric's name, or a dictionary as in a job file. Raises :class:`ParetuneError`.
    """
    _refuse_import()
    changes: dict[str, Any] = {
        "devices": [device] if isinstance(device, str) else device and list(device),
        "objectives": objectives and [_objective(one) for one in objectives],
        "constraints": constraints and list(constraints),
        "space": space,
        "name": name,
    }
    with DeviceRegistry.at(db or default_database()) as registry:
        fields, folder = _fields_of(target, data, registry)
        fields |= {key: value for key, value in changes.items() if value is not None}
        budget = {"minutes": minutes, "trials": trials}
        fields["budget"] = dict(fields.get("budget") or {}) | {k: v for k, v in budget.items() if v is not None}
        job = parse_job(fields, folder=folder, registry=registry)
        return _search(job, folder, registry, db, progress)


def _search(job: Job, folder: Path, registry: DeviceRegistry, db: str | None, progress: bool) -> Result:
    from search.controller.controller import Controller
    from search.controller.submission import submit
    from search.job.metric_names import check_metrics

    check_metrics(job, folder, registry)
    with open_store(db) as store:
        job_id = submit(store, job, folder)
        if progress:
            err.print(f"job {job_id} ({job.name}); a terminal can watch it with: paretune serve", soft_wrap=True)
        try:
            with ProgressBar(shown=progress) as bar:
                Controller(store, job_id, bar).run()
        except KeyboardInterrupt:
            err.print(f"interrupted; go on in a terminal with: paretune resume {job_id}", soft_wrap=True)
            raise
    return open_result(job_id, db)


def _fields_of(
    target: Target, data: str | os.PathLike[str] | None, registry: DeviceRegistry
) -> tuple[dict[str, Any], Path]:
    """The fields of a job file for a target, and the folder of its relative paths."""
    if isinstance(target, str | os.PathLike) and Path(target).suffix == ".onnx":
        return _onnx_fields(Path(target), data)
    if data is not None:
        raise InvalidInput("data: only an ONNX model takes samples here", "a job or a task names its own data")
    if isinstance(target, Job):
        return target.model_dump(mode="json"), Path.cwd()
    if isinstance(target, Mapping):
        return dict(target), Path.cwd()
    if callable(target):
        return _function_fields(target)
    if not isinstance(target, str | os.PathLike):
        raise InvalidInput(
            f"a search cannot start from a {type(target).__name__}",
            "its processes make the task anew: pass the function that returns it",
        )
    text = os.fspath(target)
    if ":" in text and not Path(text).exists():
        return {"name": _name_of(text), "task": {"name": text}}, Path.cwd()
    if Path(text).suffix not in (".yaml", ".yml"):
        raise InvalidInput(
            f"{text!r} is no job file, ONNX model or task", "give job.yaml, model.onnx or my_task.py:make_task"
        )
    return load_job(Path(text), registry).model_dump(mode="json"), Path(text).parent


def _onnx_fields(model: Path, data: str | os.PathLike[str] | None) -> tuple[dict[str, Any], Path]:
    options = {"model": str(model.resolve())}
    if data is not None:
        if not isinstance(data, str | os.PathLike):
            raise InvalidInput(
                f"data: must be the path of a file, not a {type(data).__name__}",
                "save the arrays first: numpy.savez('samples.npz', **arrays)",
            )
        options["data"] = str(Path(data).resolve())
    return {"name": model.stem, "task": {"name": "onnx", "options": options}}, model.parent


def _function_fields(function: Callable[..., Any]) -> tuple[dict[str, Any], Path]:
    """The fields of a job whose task is made by a function of a file."""
    name = getattr(function, "__qualname__", type(function).__name__)
    try:
        file = Path(inspect.getsourcefile(function) or "")
    except TypeError:
        file = Path()
    if not file.is_file() or not name.isidentifier():
        raise InvalidInput(
            f"{name} is not a function of a file, so that the search's processes cannot import it",
            "save it in my_task.py (in a notebook: %%writefile my_task.py) and run 'my_task.py:make_task'",
        )
    return {"name": _name_of(f"{file}:{name}"), "task": {"name": f"./{file.name}:{name}"}}, file.parent


def _name_of(task: str) -> str:
    """A short name for the job of a task: that of its file or module."""
    place = task.rpartition(":")[0]
    return Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]


def _objective(objective: Objective) -> Mapping[str, Any]:
    if not isinstance(objective, str):
        return objective
    base = base_of(objective.partition("@")[0])
    if base not in METRICS:
        raise InvalidInput(
            f"objectives: the direction of {objective!r} is unknown; {nearest(base, list(METRICS))}",
            f"write: {{'metric': {objective!r}, 'direction': 'max'}}",
        )
    return {"metric": objective, "direction": METRICS[base].better}


def _refuse_import() -> None:
    """Raises :class:`InvalidInput` while a search imports the file of its task: that would start it again."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if str(frame.f_globals.get("__name__")).startswith(_USER_MODULE):
            raise InvalidInput(
                "paretune.run was called by the import of a task's file",
                "put the call below the line: if __name__ == '__main__':",
            )
