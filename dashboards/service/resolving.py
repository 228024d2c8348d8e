"""Makes the job of a submission, and checks it against its files."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dashboards.service.submission import Submission
from evaluators.processes.sandbox import in_own_process
from hwprofiles.errors import CandidateError, InvalidInput
from search.artefacts.job_folders import materialise
from search.artefacts.store import ArtefactStore
from search.devices.lookup import DeviceRegistry
from search.job.spec import TaskSpec
from search.job.target import TargetJob, read_mapping, read_target, resolve_target
from search.tasks import TASKS

LIMIT_S = 120.0
"""Time in which a job's files must be checked."""

_PATHS = ("model", "data")
"""Options of the task ``onnx`` that name files."""

ALLOWED = "PARETUNE_TASK_PACKAGES"
"""Environment variable of the server: packages, separated by commas, whose tasks users may submit."""


def resolve(submission: Submission, folder: Path, url: str, *, trusted: bool) -> TargetJob:
    """Returns the job that a submission describes, with objectives, checked as ``paretune run`` checks one.

    The paths of a job start from ``folder``, unless it has files; these are read in a process of their own. ``url`` is
    that of the store with the devices. Only a ``trusted`` submission, from the user of this machine, may name any task
    and any file. Raises :class:`InvalidInput`.
    """
    submission.check()
    if not submission.files:
        return _resolve(submission, folder, url, trusted)
    own = materialise(ArtefactStore(), submission.files)
    try:
        target = in_own_process(_resolve_in, own, submission, url, trusted, stage="training", limit_s=LIMIT_S)
    except CandidateError as error:
        raise InvalidInput(f"the job's files cannot be read: {error.message}", error.hint) from None
    return replace(target, folder=own)


def _resolve_in(folder: Path, submission: Submission, url: str, trusted: bool) -> TargetJob:
    """As :func:`_resolve`, in the folder of the job's files."""
    os.chdir(folder)
    return _resolve(submission, Path(), url, trusted)


def _resolve(submission: Submission, folder: Path, url: str, trusted: bool) -> TargetJob:
    options, text = submission.options.as_options(), submission.target
    if text is not None and text not in TASKS and not trusted and ":" not in text and text not in submission.files:
        raise InvalidInput(f"target: {text!r} is none of the files", "upload it, and list its SHA-256 under files")
    with DeviceRegistry.at(url) as registry:
        if text is not None:
            target = read_target(text, options, registry)
        else:
            target = read_mapping(submission.job, options, folder, registry)
        if submission.files and target.folder != Path():
            raise InvalidInput(f"target: {text} is in a folder", "its paths start there: make it the top of the files")
        if not trusted:
            _check_task(target.job.task, submission.files)
        return resolve_target(target, options, registry)


def _check_task(task: TaskSpec, files: Collection[str]) -> None:
    """Raises :class:`InvalidInput` unless a task reads only these files, and its code is the operator's choice."""
    if task.name in TASKS:
        for key in _PATHS:
            value = task.options.get(key)
            if value is not None and str(PurePosixPath(str(value))) not in files:
                raise InvalidInput(f"task.options.{key}: {value!r} is none of the files", "upload it and list it")
        return
    place = task.name.partition(":")[0]
    if place.endswith(".py"):
        raise InvalidInput(
            f"task.name: a server runs no code of its users, and {place} is code",
            "have the package of your task installed there, and name it like package.module:make_task",
        )
    package = place.partition(".")[0]
    allowed = [name.strip() for name in os.environ.get(ALLOWED, "").split(",") if name.strip()]
    if package not in allowed:
        names = ", ".join(allowed) or "none"
        raise InvalidInput(
            f"task.name: the package {package!r} is not allowed on this server; allowed: {names}",
            f"ask its operator to install it and to name it in {ALLOWED}",
        )
