"""Tasks: a trained model with its data. A new task is one file here, one line below, and one test class.

A user's own task is a function that returns a :class:`Task`: ``./my_task.py:make_task``, relative to the job file's
folder, or ``package.module:make_task``.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from hwprofiles import digest_of
from hwprofiles.errors import InvalidInput, first_line
from hwprofiles.plugins import Registry
from hwprofiles.suggestions import closest, nearest_file
from search.options import validate_options
from search.tasks.base import BuiltInTask, Predict, Split, Task
from search.tasks.digits import Digits
from search.tasks.onnx import OnnxTask
from search.tasks.origin import top_level_names
from search.tasks.torch_task import TorchTask

TASKS: Registry[BuiltInTask] = Registry("paretune.tasks", {"digits": Digits, "onnx": OnnxTask})

__all__ = [
    "TASKS",
    "BuiltInTask",
    "Digits",
    "OnnxTask",
    "Predict",
    "Split",
    "Task",
    "TorchTask",
    "check_files",
    "check_task",
    "open_task",
]


def check_task(name: str, folder: Path) -> None:
    """Checks a task's name without running its code.

    Raises :class:`InvalidInput` for an unregistered name, a missing file, or a file that does not define the function.
    """
    _check_place(name, folder)
    place, _, attribute = name.rpartition(":")
    names = _names_in(folder / place) if place.endswith(".py") else None
    if names is not None and attribute not in names:
        raise _no_function(place, attribute, names)


def _names_in(file: Path) -> set[str] | None:
    """As :func:`top_level_names`; raises :class:`InvalidInput` for a file that is not Python."""
    try:
        ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        raise InvalidInput(f"task.name: {file} is not Python{line}: {error.args[0]}", "correct it there") from None
    return top_level_names(file)


def _check_place(name: str, folder: Path) -> None:
    if ":" not in name:
        if name not in TASKS:
            near = closest(name, TASKS)
            raise InvalidInput(
                f"task.name: unknown task {name!r}",
                f"write: {name}:make_task, with the name of the function that returns the task"
                if name.endswith(".py")
                else f"did you mean {near!r}?"
                if near
                else f"known: {', '.join(TASKS)}; your own: ./my_task.py:make_task or package.module:make_task",
            )
        return
    place = name.rpartition(":")[0]
    if place.endswith(".py") and not (folder / place).is_file():
        raise InvalidInput(
            f"task.name: file {folder / place} does not exist",
            nearest_file(folder / place, "give its path relative to the job file's folder"),
        )
    top = place.partition(".")[0]
    if not place.endswith(".py") and PathFinder.find_spec(top, [str(folder.resolve()), *sys.path]) is None:
        raise InvalidInput(
            f"task.name: {place} cannot be imported: there is no module {top!r}",
            "install it in this environment, or put it next to the job file",
        )


def check_files(name: str, options: Mapping[str, Any], folder: Path) -> None:
    """Checks that the model and data of a task can be read, before a job is created. Of a user's own task it checks
    only the name and runs nothing.

    Raises :class:`InvalidInput`.
    """
    if name not in TASKS:
        check_task(name, folder)
        return
    task = open_task(name, options, folder)
    if isinstance(task, OnnxTask):
        task.check_inference()


def open_task(name: str, options: Mapping[str, Any], folder: Path) -> Task:
    """Opens the task of a job; runs the function of a user's own task.

    Raises :class:`InvalidInput` for invalid options or a function that does not return a task.
    """
    _check_place(name, folder)
    if name in TASKS:
        kind = TASKS[name]
        checked = validate_options(kind.Options, options, "task.options")
        return kind.open(checked, folder)
    function = _function(name, folder)
    try:
        inspect.signature(function).bind(**options)
    except TypeError as error:
        raise InvalidInput(
            f"task.options: {name}: {error}", f"its options are the arguments {inspect.signature(function)}"
        ) from None
    task = function(**options)
    if not isinstance(task, Task):
        raise InvalidInput(
            f"task.name: {name} returned {type(task).__name__}, not a Task", "return paretune.TorchTask(…)"
        )
    return task


def _function(name: str, folder: Path) -> Callable[..., Any]:
    """Imports the module of a user's own task and returns its function."""
    place, _, attribute = name.rpartition(":")
    file = folder / place if place.endswith(".py") else None
    try:
        with _import_path(file.parent if file else folder):
            module = _module_of_file(file) if file else importlib.import_module(place)
    # A user's module may raise anything while it loads.
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        line = f" (at {Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames[-1].filename != __file__ else ""
        reason = first_line(error, 200, default="")
        raise InvalidInput(
            f"task.name: {place} cannot be imported: {type(error).__name__}: {reason}{line}",
            "install its dependencies in this environment, or put them next to the job file"
            if isinstance(error, ImportError)
            else f"correct {place}; it must be importable on its own",
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise _no_function(place, attribute, [name for name, value in vars(module).items() if callable(value)])
    make_task: Callable[..., Any] = function
    return make_task


def _no_function(place: str, attribute: str, names: Collection[str]) -> InvalidInput:
    near = closest(attribute, list(names))
    functions = ", ".join(sorted(name for name in names if not name.startswith("_")))
    return InvalidInput(
        f"task.name: {place} has no function {attribute!r}",
        f"did you mean {near!r}?" if near else f"name the function that returns the task; {place} defines: {functions}",
    )


@contextmanager
def _import_path(folder: Path) -> Iterator[None]:
    """Puts ``folder`` first on the import path while a user's module loads, and last afterwards."""
    place = str(folder.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)
        if place not in sys.path:
            sys.path.append(place)


def _module_of_file(path: Path) -> Any:
    name = f"paretune_user_task_{digest_of(str(path.resolve()))[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
