"""The model to analyse: an ONNX file, or the model of a job file's task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.model import load_model
from evaluators.processes.sandbox import Sandbox
from evaluators.processes.sandbox_child import Progress
from hwprofiles import find_device
from hwprofiles.errors import CandidateError, ParetuneError
from search.job.devices import JobDevice
from search.job.spec import Job
from search.training.recipe import Recipe
from search.trials import sandboxed
from search.trials.context import JobContext


def model_of_file(path: Path) -> onnx.ModelProto:
    """Reads an ONNX file and cleans it up as for a search; raises :class:`InvalidInput` if it cannot be read."""
    return clean_graph(load_model(path))


def model_of_job(job: Job, folder: Path, progress: Progress) -> onnx.ModelProto:
    """Returns the fp32 model of a job's task, exported (and, if needed, trained) in a sandbox.

    Paths in the job start from ``folder``.
    """
    return load_model(_in_sandbox(sandboxed.fp32_model, job, folder, progress))


def compare_recovery_of_job(job: Job, folder: Path, progress: Progress) -> dict[str, Any]:
    """See :func:`search.analysis.recovery.compare_recovery`: for a job's task and recipe, in a sandbox."""
    document: dict[str, Any] = _in_sandbox(_compare_recovery, job, folder, progress)
    return document


@sandboxed.in_job_folder
def _compare_recovery(context: JobContext) -> dict[str, Any]:
    from search.analysis.recovery import compare_recovery  # imports torch

    return compare_recovery(sandboxed.workspace_of(context).task, context.job.recovery or Recipe())


def _in_sandbox(function: Callable[[JobContext], Any], job: Job, folder: Path, progress: Progress) -> Any:
    context = JobContext(job, str(folder.resolve()), (JobDevice(job.labels[0], find_device("local-cpu")),))
    sandbox = Sandbox(memory_bytes=job.limits.memory_bytes, progress=progress)
    try:
        limit_s = job.limits.training_s + job.limits.exporting_s
        return sandbox.call(function, context, stage="training", limit_s=limit_s)
    except CandidateError as error:
        raise ParetuneError(f"the model cannot be made: {error.message}", error.hint or "check the task") from None
    finally:
        sandbox.close()
