"""The files that a job names: found beside its job file, and put into the artefact store.

Loads nothing large, so that a client names the files of a job without the packages of a search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from evaluators.graphs.wire import external_files
from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest_file
from search.artefacts.names import check_file_name

if TYPE_CHECKING:
    from search.artefacts.owned import OwnedArtefacts

MAX_FILE_BYTES = 2**31 - 1
"""Largest file of a job, as large as protobuf's models."""

_OPTIONS = {"onnx": ("model", "data")}
"""Options of the built-in tasks that name files."""


@dataclass(frozen=True)
class JobFiles:
    """The files of a job, and the options of its task that name them."""

    paths: dict[str, Path]
    """Where each file is, by its name in the job's folder."""
    options: dict[str, Any]
    """The task's options, with these names."""


def files_of(task: Mapping[str, Any], folder: Path, *, outside: bool = False) -> JobFiles:
    """Returns the files that a job's task section names, with the model's external weights.

    ``outside`` accepts files outside of ``folder``, where the user and not a job file named them; they get their plain
    names. External weights always lie in their model's folder. Raises :class:`InvalidInput` for a file that is missing,
    too large or elsewhere.
    """
    options, paths = dict(task.get("options") or {}), dict[str, Path]()
    for key in _OPTIONS.get(task["name"], ()):
        if options.get(key) is None:
            continue
        path = folder / options[key]
        name = _name_below(path, folder, f"task.options.{key}", outside)
        _add(paths, name, path)
        options[key] = name
        if key == "model":
            for location in external_files(path, MAX_FILE_BYTES):
                weights = _beside(path, location)
                _add(paths, str(PurePosixPath(name).parent / location), weights)
    return JobFiles(paths, options)


def collect(artefacts: OwnedArtefacts, folder: Path, spec: Mapping[str, Any]) -> dict[str, str]:
    """Puts the files that a job names into the artefact store for its user; returns their SHA-256 by their names in the
    job's folder.

    ``spec`` is the resolved job file, ``folder`` where its paths start. Raises as :func:`files_of` does.
    """
    paths = files_of(spec["task"], folder).paths
    return {name: artefacts.put(path).sha256 for name, path in sorted(paths.items())}


def _name_below(path: Path, folder: Path, field: str, outside: bool) -> str:
    """Returns the name of a file in the job's folder; checks that the file is in it after all links are resolved."""
    if not path.is_file():
        raise InvalidInput(f"{field}: file {path} does not exist", nearest_file(path, "check the path"))
    resolved, root = path.resolve(), folder.resolve()
    if resolved.is_relative_to(root):
        return check_file_name(PurePosixPath(resolved.relative_to(root)).as_posix())
    if not outside:
        raise InvalidInput(
            f"{field}: {path} is outside of the job file's folder", "copy it there, so that it is sent with the job"
        )
    return check_file_name(path.name)


def _beside(model: Path, location: str) -> Path:
    """Returns a file of external weights; raises :class:`InvalidInput` unless it is in the model's folder."""
    check_file_name(location)
    path = model.parent / location
    if not path.resolve().is_relative_to(model.parent.resolve()):
        raise InvalidInput(f"{model.name} refers to weights outside of its folder: {location!r}", "copy them there")
    if not path.is_file():
        raise InvalidInput(f"{model.name} needs the weights file {location!r}, which is missing", "copy it there")
    return path


def _add(paths: dict[str, Path], name: str, path: Path) -> None:
    if name in paths and not path.samefile(paths[name]):
        raise InvalidInput(f"two files of the job are called {name!r}", "rename one of them")
    if (size_bytes := path.stat().st_size) > MAX_FILE_BYTES:
        raise InvalidInput(f"{name} has {size_bytes} bytes, more than {MAX_FILE_BYTES}", "use a smaller file")
    paths[name] = path
