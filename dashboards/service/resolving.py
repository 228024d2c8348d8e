"""Makes the job of a submission, and checks it against its files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from dashboards.service.submission import Submission
from dashboards.words import Json
from evaluators.processes.sandbox import in_own_process
from hwprofiles.errors import CandidateError, InvalidInput
from hwprofiles.suggestions import nearest
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.submitted import check_submission
from search.devices.lookup import DeviceRegistry
from search.job.target import TargetJob, read_mapping, read_target, resolve_target
from search.tasks import TASKS

LIMIT_S = 120.0
"""Time in which a job's files must be checked."""

_MODEL = ".onnx"


def resolve(submission: Submission, artefacts: OwnedArtefacts, folder: Path, url: str, *, trusted: bool) -> TargetJob:
    """Returns the job that a submission describes, with objectives, checked as ``paretune run`` checks one.

    The paths of a job start from ``folder``, unless it has files; these are loaded in a process of their own. ``url``
    is that of the store with the devices. Only a ``trusted`` submission without files, from the user of this machine,
    may name any task and any file. Raises :class:`InvalidInput`.
    """
    if submission.files or not trusted:
        check_submission(artefacts, _task_of(submission), submission.files)
    if not submission.files:
        return _resolve(submission, folder, url)
    own = artefacts.folder(submission.files)
    try:
        target = in_own_process(_resolve_in, own, submission, url, stage="training", limit_s=LIMIT_S)
    except CandidateError as error:
        raise InvalidInput(f"the job's files cannot be read: {error.message}", error.hint) from None
    return replace(target, folder=own)


def _task_of(submission: Submission) -> Json:
    """Returns the task section of a submission, before anything of it is loaded."""
    target, job = submission.target, submission.job or {}
    if target is None:
        task = job.get("task")
        named = isinstance(task, dict) and isinstance(task.get("name"), str)
        if not isinstance(task, dict) or not named or not isinstance(task.get("options") or {}, dict):
            raise InvalidInput("job.task: must be a mapping with a name", 'write: {"task": {"name": "digits"}}')
        return task if submission.options.data is None else _with_data(task, submission.options.data)
    if Path(target).suffix.lower() != _MODEL:
        if ":" not in target and target not in TASKS:
            raise InvalidInput(f"target: there is no task {target!r}", nearest(target, list(TASKS)))
        return {"name": target}
    return _with_data({"name": "onnx", "options": {"model": target}}, submission.options.data)


def _with_data(task: Json, data: str | None) -> Json:
    return {**task, "options": {**(task.get("options") or {}), **({} if data is None else {"data": data})}}


def _resolve_in(folder: Path, submission: Submission, url: str) -> TargetJob:
    """As :func:`_resolve`, in the folder of the job's files."""
    os.chdir(folder)
    return _resolve(submission, Path(), url)


def _resolve(submission: Submission, folder: Path, url: str) -> TargetJob:
    options = submission.options.as_options()
    with DeviceRegistry.at(url) as registry:
        if submission.target is not None:
            target = read_target(submission.target, options, registry)
        else:
            target = read_mapping(submission.job, options, folder, registry)
        return resolve_target(target, options, registry)
