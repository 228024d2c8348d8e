"""What a job's sandboxes are asked for, as importable functions.

Each works in the job file's folder, wherever its process was started: a user's task may read files beside it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from evaluators.measuring.quality import Quality
from evaluators.runtimes import Array
from hwprofiles.errors import BuildFailed, InvalidInput
from search.budget.stopwatch import Stopwatch
from search.budget.time_budget import TimeBudget
from search.fronts.metrics import DEVICES
from search.job.metric_names import check_names
from search.tasks import Split
from search.tasks.arrays import arrays_digest
from search.trials.context import JobContext
from search.trials.module_variants import Trained
from search.trials.preparation import Preparation, Prepared
from search.trials.workspace import Built, Loss, Workspace

P = ParamSpec("P")
T = TypeVar("T")
Verb = Callable[Concatenate[JobContext, P], T]


def in_job_folder(verb: Verb[P, T]) -> Verb[P, T]:
    """The same verb, working in the folder of its order's job file, as long as there is one."""

    @wraps(verb)
    def there(order: JobContext, /, *args: P.args, **kwargs: P.kwargs) -> T:
        folder = Path(order.folder)
        with contextlib.chdir(folder) if folder.is_dir() else contextlib.nullcontext():
            return verb(order, *args, **kwargs)

    return there


@lru_cache(maxsize=1)
def workspace_of(order: JobContext) -> Workspace:
    """This process's workspace for an order; the last one is kept."""
    return Workspace(order)


@in_job_folder
def prepare(order: JobContext, budget: TimeBudget | None = None) -> Prepared:
    """See :meth:`Preparation.prepared`. Raises :class:`InvalidInput` for a metric that the job wants but nothing
    gives."""
    watch = Stopwatch() if budget is None else Stopwatch(budget.clock)
    with watch.timing("opening the task"):
        workspace = workspace_of(order)
    check_names(order.job, order.profile, workspace.task.metric_names)
    found = Preparation(workspace, budget).prepared()
    if "preparing_s" in found.facts:
        found.facts["preparing_s"] = watch.seconds | found.facts["preparing_s"]
    for objective in order.job.parsed_objectives:
        if objective.gain(found.metrics) is None:
            known = _names(found.metrics)
            raise InvalidInput(f"objectives: the task has no metric {objective.metric!r}", f"known: {known}")
    for constraint in order.job.parsed_constraints:
        if constraint.violation(found.metrics, found.metrics) == float("inf"):
            known = _names(found.metrics)
            raise InvalidInput(f"constraints: the task has no metric {constraint.metric!r}", f"known: {known}")
    return found


@in_job_folder
def facts(order: JobContext) -> dict[str, Any]:
    """See :meth:`Preparation.facts`."""
    return Preparation(workspace_of(order)).facts()


@in_job_folder
def fp32_model(order: JobContext) -> Path:
    """The file of the fp32 model that every candidate starts from, made on first use."""
    workspace = workspace_of(order)
    workspace.model  # noqa: B018 - exported on first use
    return workspace.baseline_path


def _names(metrics: Mapping[str, Any]) -> str:
    return ", ".join(name for name in metrics if name.partition("@")[0] not in ("intervals", DEVICES))


@contextlib.contextmanager
def _for_candidate(order: JobContext) -> Iterator[Workspace]:
    """The workspace, for work on one candidate. A task that cannot be opened says nothing about the candidate; what a
    task or technique refuses afterwards is the candidate's failure."""
    workspace = workspace_of(order)
    try:
        yield workspace
    except InvalidInput as error:
        raise BuildFailed(error.message, error.hint) from None


@in_job_folder
def train(order: JobContext, decisions: Mapping[str, str], earlier: Sequence[Sequence[float]] = ()) -> Trained | None:
    """See :meth:`search.trials.module_variants.Structures.train`."""
    with _for_candidate(order) as workspace:
        return workspace.structures.train(decisions, earlier)


@in_job_folder
def build(order: JobContext, decisions: Mapping[str, str], path: Path) -> Built:
    """See :meth:`Workspace.build`."""
    with _for_candidate(order) as workspace:
        built = workspace.build(decisions, path)
        workspace.rest()
        return built


@in_job_folder
def quality(
    order: JobContext, path: Path, split: Split, runtime: str | None = None, device: str | None = None
) -> Quality:
    """See :meth:`Workspace.quality`; a metric that is not a number is a failure of the candidate."""
    with _for_candidate(order) as workspace:
        found = workspace.quality(path, split, runtime, device)
        if not found.metrics:
            raise BuildFailed("the task gives no metric for this model")
        return found


@in_job_folder
def losses(
    order: JobContext, path: Path, split: Split, runtime: str | None = None, device: str | None = None
) -> dict[str, Loss]:
    """See :meth:`Workspace.losses`."""
    return workspace_of(order).losses(path, split, runtime, device)


@in_job_folder
def outputs(
    order: JobContext, path: Path, samples: Mapping[str, Array], runtime: str | None = None, device: str | None = None
) -> dict[str, Array]:
    """What a file answers to samples on this machine."""
    with _for_candidate(order) as workspace:
        return workspace.outputs(path, samples, runtime, device)


@in_job_folder
def inputs(order: JobContext, split: Split) -> dict[str, Array]:
    """The inputs of a split."""
    return dict(workspace_of(order).task.inputs(split))


@in_job_folder
def quality_of(order: JobContext, outputs: Mapping[str, Array], split: Split, device: str | None = None) -> Quality:
    """See :meth:`Workspace.quality_of`."""
    with _for_candidate(order) as workspace:
        return workspace.quality_of(outputs, split, device)


@in_job_folder
def sample(order: JobContext, device: str | None = None) -> dict[str, Array]:
    """See :meth:`Workspace.sample_of`."""
    return workspace_of(order).sample_of(order.profile_of(device))


@in_job_folder
def calibration_digest(order: JobContext) -> str:
    """Names the calibration data."""
    return arrays_digest(workspace_of(order).task.inputs("calibration"))
