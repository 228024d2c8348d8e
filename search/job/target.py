"""A job from what a command names: a job file, an ONNX model or a task, with the command's options."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import closest, nearest_file
from search.devices.lookup import NO_AGENTS, DeviceRegistry
from search.job.default_objectives import resolve_objectives
from search.job.job_options import DEFAULT_MINUTES, NO_OPTIONS, JobOptions
from search.job.spec import Job, load_job, parse_job
from search.tasks import TASKS, check_files

RANDOM_INPUTS = (
    "no --data: inputs are random, so quality is only the similarity to the fp32 model's outputs, not accuracy"
)
_JOB_FILES, _MODEL = (".yaml", ".yml", ""), ".onnx"
_HINT = "give a model (.onnx), a task (my_task.py:make_task) or a job file (.yaml)"
_TORCH = "export it with torch.onnx.export, or give a Python file whose make_task function returns a TorchTask"
_CONVERT = "convert it to ONNX first, for example with tf2onnx"
_FOREIGN = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".safetensors"), ("holds a PyTorch model, not an ONNX model", _TORCH)),
    **dict.fromkeys((".h5", ".keras", ".pb", ".tflite"), ("holds a TensorFlow model, not an ONNX model", _CONVERT)),
    **dict.fromkeys(
        (".npz", ".npy"), ("holds samples, not a model", "name the model first: MODEL.onnx --data SAMPLES.npz")
    ),
}


@dataclass(frozen=True)
class TargetJob:
    """A job, and the folder that its relative paths start from."""

    job: Job
    folder: Path
    from_file: bool
    """Whether it was read from a job file."""
    default_objectives: str = ""
    """Why it has the default objectives; empty if it named its own, or if its task was not asked yet."""

    @property
    def objectives_in_words(self) -> str:
        """The objectives' metrics, and why these are the default."""
        *most, last = [goal.metric for goal in self.job.objectives]
        names = f"{', '.join(most)} and {last}" if most else last
        return f"{names} ({self.default_objectives})" if self.default_objectives else names

    @property
    def has_random_inputs(self) -> bool:
        """Whether the model has no data."""
        return self.job.task.name == "onnx" and self.job.task.options.get("data") is None

    @property
    def plan(self) -> list[str]:
        """What to know of the job before it starts, unless a job file says it."""
        lines = [] if self.from_file else [self.limits_in_words]
        if self.default_objectives:
            lines.append(f"objectives: {self.objectives_in_words}")
        if self.has_random_inputs:
            lines.append(RANDOM_INPUTS)
        return lines

    @property
    def limits_in_words(self) -> str:
        """When it ends, and how to change that."""
        minutes, trials = self.job.budget.minutes, self.job.budget.trials
        time = "" if minutes is None else f" within {minutes:g} min (--minutes)"
        return f"up to {trials} candidates (--trials){time}"


def read_target(text: str, options: JobOptions = NO_OPTIONS, registry: DeviceRegistry = NO_AGENTS) -> TargetJob:
    """Returns the job that a command names, checked as a job file is.

    Without a job file a task file works in its own folder, everything else in the current one.

    Raises :class:`InvalidInput`, in the words of the command for what its options say.
    """
    task = _task_of(text, options.data)
    if task is None:
        job = load_job(Path(text), registry)
        folder, data = Path(text).parent, job.to_dict()
        if options.data is not None:
            data["task"] = _with_data(data["task"], options.data, folder)
        labels: Sequence[str] = job.labels
    else:
        limited = options.minutes is not None or options.trials is not None
        (folder, task), labels = _folder_of(task), ("local-cpu",)
        data = {
            "name": _name_of(text), "task": task, "devices": [{"name": "local-cpu", "threads": 1, "batch": 1}],
            "budget": {} if limited else {"minutes": DEFAULT_MINUTES},
        }  # fmt: skip
    try:
        return TargetJob(parse_job(options.apply(data, labels), folder=folder, registry=registry), folder, task is None)
    except InvalidInput as error:
        raise options.explain(error, from_file=task is None) from None


def read_mapping(
    data: Any, options: JobOptions, folder: Path, registry: DeviceRegistry = NO_AGENTS, name: str = "job"
) -> TargetJob:
    """Returns the job of a job file's contents, checked; its paths start from ``folder``.

    Raises :class:`InvalidInput` as :func:`read_target` does.
    """
    job = parse_job({"name": name, **data} if isinstance(data, dict) else data, folder=folder, registry=registry)
    fields = job.to_dict()
    if options.data is not None:
        fields["task"] = {**fields["task"], "options": {**fields["task"]["options"], "data": str(options.data)}}
    try:
        fields = options.apply(fields, job.labels)
        return TargetJob(parse_job(fields, folder=folder, registry=registry), folder, from_file=True)
    except InvalidInput as error:
        raise options.explain(error, from_file=True) from None


def resolve_target(target: TargetJob, options: JobOptions, registry: DeviceRegistry = NO_AGENTS) -> TargetJob:
    """Checks the job's metrics and the files of its task, before anything is stored; returns it with objectives.

    Raises :class:`InvalidInput` as :func:`read_target` does.
    """
    try:
        check_files(target.job.task.name, target.job.task.options, target.folder)
        job, reason = resolve_objectives(target.job, target.folder, registry)
    except InvalidInput as error:
        raise options.explain(error, from_file=target.from_file) from None
    return replace(target, job=job, default_objectives=reason)


def _task_of(text: str, data: Path | None) -> dict[str, Any] | None:
    """Returns the task section for a model or a task; None for a job file. Raises :class:`InvalidInput` for anything
    else."""
    path = Path(text)
    suffix = path.suffix.lower()
    place, colon, _ = text.rpartition(":")
    if suffix == _MODEL:
        _check_exists(path, "model file")
        options = {"model": text} | ({} if data is None else {"data": str(data)})
        return {"name": "onnx", "options": options}
    if suffix == ".py" or (colon and not path.exists()):
        task = text if colon else f"{text}:{_task_function(path)}"
    elif text in TASKS and not path.exists():
        task = text
    elif path.is_dir():
        raise InvalidInput(f"{text} is a folder", _HINT)
    elif suffix in _FOREIGN:
        what, hint = _FOREIGN[suffix]
        raise InvalidInput(f"{path.name} {what}", hint)
    else:
        _check_exists(path, "job file" if suffix in _JOB_FILES else "file")
        if suffix not in _JOB_FILES and not _is_text(path):
            raise InvalidInput(f"{path.name} is neither a job file nor an ONNX model, by its ending", _HINT)
        return None
    if place.endswith(".py") and not Path(place).is_file():
        _check_exists(Path(place), "task file")
    if data is not None:
        raise InvalidInput(f"--data: {text} brings its own data", "leave --data out; it is for a model (.onnx)")
    return {"name": task}


def _folder_of(task: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Returns the folder that a task without a job file works in, and the task as it is called there."""
    place, _, function = task["name"].rpartition(":")
    if not place.endswith(".py"):
        return Path(), task
    return Path(place).parent, {**task, "name": f"{Path(place).name}:{function}"}


def _check_exists(path: Path, noun: str) -> None:
    """Raises :class:`InvalidInput` for a file that does not exist, with the most similar file beside it."""
    if path.is_file():
        return
    if path.is_dir():
        raise InvalidInput(f"{noun} {path} is a folder", _HINT)
    near = None if path.suffix else closest(str(path), TASKS)
    raise InvalidInput(
        f"{noun} {path} does not exist", f"did you mean {near!r}?" if near else nearest_file(path, _HINT)
    )


def _is_text(path: Path) -> bool:
    try:
        path.read_bytes()[:4096].decode()
    except UnicodeDecodeError:
        return False
    return True


def _task_function(path: Path) -> str:
    """Returns the function of a task file that returns its task: ``make_task``, else the only one that says it returns
    a task.

    Runs no code.
    """
    _check_exists(path, "task file")
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        raise InvalidInput(f"{path} is not Python{line}: {error.args[0]}", "correct it there") from None
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    names = [node.name for node in functions]
    annotated = [node.name for node in functions if node.returns and ast.unparse(node.returns).endswith("Task")]
    if "make_task" in names:
        return "make_task"
    if len(annotated) == 1:
        return annotated[0]
    if len(names) == 1:
        return names[0]
    candidates = annotated or names
    listed = f"its functions: {', '.join(candidates)}" if candidates else "it has no functions"
    raise InvalidInput(
        f"{path} has no function make_task; {listed}", f"name the function that returns the task: {path}:FUNCTION"
    )


def _name_of(text: str) -> str:
    """Returns the name of a job without a file: the file's without its ending."""
    place = text.rpartition(":")[0] or text
    return Path(place).stem if place.endswith((".py", ".onnx")) else text.replace(":", ".")


def _with_data(task: dict[str, Any], data: Path, folder: Path) -> dict[str, Any]:
    """Returns the task section of a job file with other samples."""
    if task["name"] != "onnx":
        raise InvalidInput(f"--data: the job's task {task['name']!r} brings its own data", "leave --data out")
    path = str(data) if folder.resolve() == Path.cwd() else str(data.resolve())
    return {**task, "options": {**task["options"], "data": path}}
