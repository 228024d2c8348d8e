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
from search.artefacts.job_folders import materialise
from search.artefacts.store import ArtefactStore
from search.artefacts.submitted import check_submission
from search.devices.lookup import DeviceRegistry
from search.job.target import TargetJob, read_mapping, read_target, resolve_target
from search.store import Store
from search.tasks import TASKS

LIMIT_S = 120.0
"""Time in which a job's files must be checked."""

_MODEL = ".onnx"


def resolve(submission: Submission, store: Store, owner: str, folder: Path, *, trusted: bool) -> TargetJob:
    """Returns the job that ``owner`` submits, with objectives, checked as ``paretune run`` checks one.

    The paths of a job start from ``folder``, unless it has files; these are loaded in a process of their own. Only a
    ``trusted`` submission without files, from the user of this machine, may name any task and any file. Raises
    :class:`InvalidInput`, and :class:`search.store.OverQuota`.
    """
    submission.check()
    artefacts = ArtefactStore()
    if submission.files or not trusted:
        _check(submission, store, owner, artefacts)
    if not submission.files:
        return _resolve(submission, folder, store.url)
    own = materialise(artefacts, submission.files)
    try:
        target = in_own_process(_resolve_in, own, submission, store.url, stage="training", limit_s=LIMIT_S)
    except CandidateError as error:
        raise InvalidInput(f"the job's files cannot be read: {error.message}", error.hint) from None
    return replace(target, folder=own)


def _check(submission: Submission, store: Store, owner: str, artefacts: ArtefactStore) -> None:
    """Checks the task and the files, without loading anything."""
    try:
        check_submission(store, owner, artefacts, _task_of(submission), submission.files)
    except InvalidInput as error:
        names = {digest: name for name, digest in submission.files.items()}
        message = next((error.message.replace(key, names[key]) for key in names if key in error.message), error.message)
        raise InvalidInput(message, error.hint) from None


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
