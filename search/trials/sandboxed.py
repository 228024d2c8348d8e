"""The functions that a job's sandboxes execute.

Each works in the job file's folder, wherever its process was started: a user's task may read files there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from evaluators.measuring.quality import Quality
from evaluators.runtimes import Array
from hwprofiles.errors import BuildFailed, InvalidInput
from search.budget.stopwatch import Stopwatch
from search.budget.time_budget import TimeBudget
from search.filters import make_filters
from search.fronts.objectives import metric_value
from search.job.facts import JobFacts
from search.job.metric_names import check_names
from search.tasks import Split
from search.tasks.arrays import arrays_digest
from search.trials.candidate_filter import Judged
from search.trials.context import JobContext
from search.trials.module_variants import TrainingResult
from search.trials.preparation import Preparation, PreparationResult
from search.trials.scoring import Loss, Scoring
from search.trials.workspace import Built, Workspace

P = ParamSpec("P")
T = TypeVar("T")
SandboxFunction = Callable[Concatenate[JobContext, P], T]


def in_job_folder(function: SandboxFunction[P, T]) -> SandboxFunction[P, T]:
    """Decorates a function to work in the folder of its context's job file, if it exists."""

    @wraps(function)
    def run_in_folder(context: JobContext, /, *args: P.args, **kwargs: P.kwargs) -> T:
        folder = Path(context.folder)
        with contextlib.chdir(folder) if folder.is_dir() else contextlib.nullcontext():
            return function(context, *args, **kwargs)

    return run_in_folder


@lru_cache(maxsize=1)
def workspace_of(context: JobContext) -> Workspace:
    """Returns this process's workspace for a context; the last one is cached, by the context's digest."""
    return Workspace(context)


@in_job_folder
def prepare(context: JobContext, budget: TimeBudget | None = None) -> PreparationResult:
    """See :meth:`Preparation.prepare`. Raises :class:`InvalidInput` for a metric that the task does not give."""
    watch = Stopwatch() if budget is None else Stopwatch(budget.clock)
    with watch.timing("opening the task"):
        workspace = workspace_of(context)
    check_names(context.job, context.profile, workspace.task.metric_names)
    result = Preparation(workspace, budget).prepare()
    if result.facts.preparing_s:
        preparing_s = {**watch.seconds, **result.facts.preparing_s}
        result = replace(result, facts=replace(result.facts, preparing_s=preparing_s))
    for objective in context.job.joint_objectives:
        if objective.gain(result.metrics) is None:
            names = _names(result.metrics)
            raise InvalidInput(f"objectives: the task has no metric {objective.metric!r}", f"known: {names}")
    for constraint in context.job.joint_constraints:
        if constraint.violation(result.metrics, result.metrics) == float("inf"):
            names = _names(result.metrics)
            raise InvalidInput(f"constraints: the task has no metric {constraint.metric!r}", f"known: {names}")
    return result


@in_job_folder
def facts(context: JobContext) -> JobFacts:
    """See :meth:`Preparation.facts`."""
    return Preparation(workspace_of(context)).facts()


@in_job_folder
def fp32_model(context: JobContext) -> Path:
    """Returns the file of the fp32 model that every candidate starts from, exported on first use."""
    workspace = workspace_of(context)
    workspace.model  # noqa: B018 - exported on first use
    return workspace.baseline_path


def _names(metrics: Mapping[str, Any]) -> str:
    return ", ".join(name for name in metrics if metric_value(metrics, name) is not None)


@contextlib.contextmanager
def _for_candidate(context: JobContext) -> Iterator[Workspace]:
    """The workspace, for work on one candidate: errors of a task or technique become the candidate's failure.

    Not so the failure to open the task, which has nothing to do with the candidate.
    """
    workspace = workspace_of(context)
    try:
        yield workspace
    except InvalidInput as error:
        raise BuildFailed(error.message, error.hint) from None


@in_job_folder
def train(
    context: JobContext, decisions: Mapping[str, str], earlier: Sequence[Sequence[float]] = ()
) -> TrainingResult | None:
    """See :meth:`search.trials.module_variants.ModuleVariants.train`."""
    with _for_candidate(context) as workspace:
        return workspace.variants.train(decisions, earlier)


@in_job_folder
def score(context: JobContext, decisions: Mapping[str, str]) -> Judged | None:
    """See :meth:`search.trials.module_variants.ModuleVariants.score`, for the job's filters."""
    with _for_candidate(context) as workspace:
        return workspace.variants.score(decisions, make_filters(context.job.filters))


@in_job_folder
def build(context: JobContext, decisions: Mapping[str, str], path: Path) -> Built:
    """See :meth:`Workspace.build`."""
    with _for_candidate(context) as workspace:
        built = workspace.build(decisions, path)
        workspace.rest()
        return built


@in_job_folder
def quality(
    context: JobContext, path: Path, split: Split, runtime: str | None = None, device: str | None = None
) -> Quality:
    """See :meth:`Scoring.quality`; a metric that is not a number is a failure of the candidate."""
    with _for_candidate(context) as workspace:
        quality = Scoring(workspace).quality(path, split, runtime, device)
        if not quality.metrics:
            raise BuildFailed("the task gives no metric for this model")
        return quality


@in_job_folder
def losses(
    context: JobContext, path: Path, split: Split, runtime: str | None = None, device: str | None = None
) -> dict[str, Loss]:
    """See :meth:`Scoring.losses`."""
    return Scoring(workspace_of(context)).losses(path, split, runtime, device)


@in_job_folder
def outputs(
    context: JobContext, path: Path, samples: Mapping[str, Array], runtime: str | None = None, device: str | None = None
) -> dict[str, Array]:
    """See :meth:`Scoring.outputs`."""
    with _for_candidate(context) as workspace:
        return Scoring(workspace).outputs(path, samples, runtime, device)


@in_job_folder
def inputs(context: JobContext, split: Split) -> dict[str, Array]:
    """Returns the inputs of a split."""
    return dict(workspace_of(context).task.inputs(split))


@in_job_folder
def quality_of(context: JobContext, outputs: Mapping[str, Array], split: Split, device: str | None = None) -> Quality:
    """See :meth:`Scoring.quality_of`."""
    with _for_candidate(context) as workspace:
        return Scoring(workspace).quality_of(outputs, split, device)


@in_job_folder
def sample(context: JobContext, device: str | None = None) -> dict[str, Array]:
    """See :meth:`Workspace.sample_of`."""
    return workspace_of(context).sample_of(context.profile_of(device))


@in_job_folder
def calibration_digest(context: JobContext) -> str:
    """Returns a digest of the calibration data."""
    return arrays_digest(workspace_of(context).task.inputs("calibration"))
