"""Whether a job names metrics that there are: asked before anything is trained or measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from evaluators.modelled.dry_run import dry_run_metrics
from evaluators.processes.sandbox import in_own_process
from hwprofiles import Profile
from hwprofiles.errors import CandidateError, InvalidInput
from hwprofiles.suggestions import nearest
from search.fronts.metrics import DEVICE_METRICS, QUALITY_CHECK, QUALITY_FROM, QUALITY_RUNTIME
from search.job.spec import Job
from search.tasks import TASKS, open_task
from search.tasks.metric_names import metric_names_of

_FIDELITY = frozenset({"cosine", "top1_agreement"})
_FILE = frozenset({"size_bytes", "sparse_size_bytes", "bit_operations"})
_BOUNDS = frozenset({"latency_ms", "speedup"})

Names = frozenset[str] | None
"""The metrics of a task's own; None where nobody can say before the model is evaluated."""


def check_metrics(job: Job, folder: Path) -> None:
    """Raises :class:`InvalidInput` for an objective or constraint whose metric neither the task nor the device gives.

    A task of the user's own is opened for that in a process of its own, and only if the job names a metric that not
    every task has; one that cannot say its metrics evaluates a handful of samples.
    """

    def names() -> Names:
        if job.task.name in TASKS:
            return open_task(job.task.name, job.task.options, folder).metric_names()
        limit_s = job.limits.training_s + job.limits.exporting_s
        try:
            return in_own_process(
                metric_names_of, job.task.name, job.task.options, folder, stage="exporting", limit_s=limit_s
            )
        except CandidateError:
            return None  # what is wrong with the task is told where it is prepared

    check_names(job, job.profile, names)


def check_names(job: Job, profile: Profile, task_names: Callable[[], Names]) -> None:
    """:func:`check_metrics` where the task's names are at hand; they are asked for only where they matter."""
    given = _device_names(profile)
    asked = [(place, name) for place, name in _asked(job) if not _is_given(name, given)]
    if not asked:
        return
    own: Names = frozenset() if profile.is_dry_run else task_names()
    if own is None:
        return
    for place, name in asked:
        if not _is_given(name, given | own):
            known = ", ".join(sorted(given | own))
            near = nearest(name, given | own)
            hint = f"{near} known: {known}" if near.startswith("did you mean") else f"known: {known}"
            raise InvalidInput(f"{place}: the task has no metric {name!r}", hint)


def _device_names(profile: Profile) -> frozenset[str]:
    """What is there whatever the task: of a dry run all that it makes up."""
    if profile.is_dry_run:
        return frozenset(dry_run_metrics((), {}, "")) | {"bit_operations"}
    return (
        _FIDELITY
        | _FILE
        | (_BOUNDS if profile.modelled else DEVICE_METRICS - {QUALITY_RUNTIME, QUALITY_FROM, QUALITY_CHECK})
    )


def _asked(job: Job) -> Iterator[tuple[str, str]]:
    for number, spec in enumerate(job.objectives):
        yield f"objectives.{number}", job.split(spec)[0]
    for number, constraint in enumerate(job.parsed_constraints):
        yield f"constraints.{number}", constraint.metric


def _is_given(name: str, names: Collection[str]) -> bool:
    return name in names or name.partition(".")[0] in names
