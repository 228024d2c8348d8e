"""The files that a task reads: what another machine needs to open it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evaluators.graphs.model import model_files
from hwprofiles.errors import InvalidInput
from search.options import validate_options
from search.tasks import TASKS
from search.tasks.origin import source_files

MOST_FILES, MOST_BYTES = 2000, 4 * 2**30
"""Of the folder of a user's own task."""


def task_files(name: str, options: Mapping[str, Any], folder: Path) -> list[str]:
    """Lists the files that a task reads, by their paths relative to ``folder``, without running its code.

    Of a task that ships with Paretune these are the files that its options name. A user's own task may read whatever
    lies beside it: all files of its folder are listed, except hidden ones and caches. Raises :class:`InvalidInput` if
    these are too many. Files outside of ``folder`` are not listed.
    """
    place = name.rpartition(":")[0]
    if name in TASKS:
        files = set(_named_files(options, folder))
    elif place.endswith(".py"):
        files = {*_all_files((folder / place).parent), *_named_files(options, folder)}
    else:
        files = {*source_files(name, folder), *_named_files(options, folder)}
    inside = [file for file in files if file.resolve().is_relative_to(folder.resolve())]
    return sorted(str(file.resolve().relative_to(folder.resolve())) for file in inside)


def cached_files(name: str, options: Mapping[str, Any]) -> list[Path]:
    """Lists the files of the cache folder that a task made and that another machine would have to make again."""
    if name not in TASKS:
        return []
    kind = TASKS[name]
    return kind.cached_files(validate_options(kind.Options, options, "task.options"))


def _named_files(options: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Yields the files that options name; of a model also the files of its weights."""
    for value in options.values():
        if not isinstance(value, str) or not value or Path(value).is_absolute():
            continue
        file = folder / value
        if file.is_file():
            yield from model_files(file) if file.suffix == ".onnx" else [file]


def _all_files(folder: Path) -> Iterator[Path]:
    count = size_bytes = 0
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        if any(part.startswith(".") or part == "__pycache__" for part in parts) or not file.is_file():
            continue
        count, size_bytes = count + 1, size_bytes + file.stat().st_size
        if count > MOST_FILES or size_bytes > MOST_BYTES:
            raise InvalidInput(
                f"task.name: folder {folder} has more than {MOST_FILES} files or {MOST_BYTES >> 30} GiB, which the "
                "nodes of a cluster would need",
                "put the task into a folder with its own files alone",
            )
        yield file
