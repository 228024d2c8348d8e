"""What is accepted of a submitted job: tasks without uploaded code, and files that are what they should be.

Nothing here runs, unpickles or loads a model or data; a file that is made to do harm costs an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from evaluators.graphs.wire import external_files
from hwprofiles.errors import InvalidInput
from search.artefacts.job_files import MAX_FILE_BYTES
from search.artefacts.names import check_file_name, check_sha256
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.samples import check_samples

MAX_SAMPLES_BYTES = 4 * 2**30
"""Largest size of a job's samples once they are unpacked."""


def check_task_name(name: str) -> None:
    """Raises :class:`InvalidInput` for a task whose code the operator did not allow.

    Allowed are tasks by registry name, which installed packages bring, and ``package.module:function`` of the modules
    in ``PARETUNE_TASKS``, separated by commas.
    """
    place, colon, _ = name.rpartition(":")
    if not colon:
        return
    if place.endswith(".py") or "/" in place:
        raise InvalidInput(
            f"task.name: {name} is a file of yours, and a service runs no code that is sent to it",
            "run it in the foreground with: paretune run, or have it installed there as a package",
        )
    allowed = [module.strip() for module in os.environ.get("PARETUNE_TASKS", "").split(",")]
    if place not in allowed:
        raise InvalidInput(
            f"task.name: the service does not allow tasks of module {place!r}",
            f"ask its operator to install that package and to add {place} to PARETUNE_TASKS",
        )


def check_submission(artefacts: OwnedArtefacts, task: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Checks what a user submits: a job's task section, and its files as SHA-256 by name; they count as used now.

    Raises :class:`search.store.OverQuota` for a user whose jobs have run for as long as they may, :class:`InvalidInput`
    for a task that is not allowed, and for a file that the user has not sent, that the task does not name, that is
    missing, or that is no model or no samples; otherwise as :meth:`ArtefactStore.fetch` does.
    """
    artefacts.check_time()
    check_task_name(task["name"])
    missing = artefacts.missing([check_sha256(sha256) for sha256 in files.values()])
    for name, sha256 in files.items():
        if sha256 in missing:
            raise InvalidInput(f"files: {name[:80]!r} is not stored", "upload it first")
    needed = _needed_files(artefacts, task, files) if task["name"] == "onnx" else set()
    for name in sorted(needed - set(files)):
        raise InvalidInput(f"files: the job needs {name!r}, which was not sent", "send it with the job")
    for name in sorted(set(files) - needed):
        raise InvalidInput(f"files: the job's task does not name {name[:80]!r}", "leave it out")


def _needed_files(artefacts: OwnedArtefacts, task: Mapping[str, Any], files: Mapping[str, str]) -> set[str]:
    options = task.get("options") or {}
    names = {key: check_file_name(options[key]) for key in ("model", "data") if options.get(key) is not None}
    needed = set(names.values())
    model, data = names.get("model", ""), names.get("data", "")
    if model in files:
        folder = PurePosixPath(model).parent
        locations = external_files(artefacts.fetch(files[model]), MAX_FILE_BYTES, model)
        needed |= {str(folder / check_file_name(location)) for location in locations}
    if data in files:
        check_samples(artefacts.fetch(files[data]), MAX_SAMPLES_BYTES)
    return needed
