"""The model that an analysis is of: an ONNX file, or that of a job file's task."""

from __future__ import annotations

from pathlib import Path

import onnx

from evaluators.child import Progress
from evaluators.graph_cleanup import prepared
from evaluators.onnx_model import load_model
from evaluators.sandbox import Sandbox
from hwprofiles import find_device
from hwprofiles.errors import CandidateError, ParetuneError
from search import verbs
from search.job import Job
from search.work_order import WorkOrder


def model_of_file(path: Path) -> onnx.ModelProto:
    """An ONNX file as candidates would start from it; raises :class:`InvalidInput` where it cannot be read."""
    return prepared(load_model(path))


def model_of_job(job: Job, folder: Path, progress: Progress) -> onnx.ModelProto:
    """The fp32 model of a job's task, trained, if need be, in a sandbox; paths in the job start from ``folder``."""
    order = WorkOrder(job.model_dump_json(), str(folder.resolve()), find_device("local-cpu"))
    sandbox = Sandbox(memory_bytes=job.limits.memory_bytes, progress=progress)
    try:
        limit_s = job.limits.training_s + job.limits.exporting_s
        return load_model(sandbox.call(verbs.fp32_model, order, stage="training", limit_s=limit_s))
    except CandidateError as error:
        raise ParetuneError(f"the model cannot be made: {error.message}", error.hint or "check the task") from None
    finally:
        sandbox.close()
