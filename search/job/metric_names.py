"""Checks the metric names of a job, before anything is trained or measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

from evaluators.measuring.quality import label_metrics
from evaluators.metrics import METRICS, Metric
from evaluators.modelled.candidate import ModelledCandidate
from evaluators.modelled.dry_run import dry_run_metrics
from evaluators.processes.sandbox import in_own_process
from hwprofiles import Profile
from hwprofiles.errors import CandidateError, InvalidInput
from hwprofiles.suggestions import closest, nearest
from search.fronts.metrics import FOLDS
from search.job.checks import either
from search.job.spec import Job
from search.tasks import TASKS, open_task
from search.tasks.metric_names import metric_names_of

Names = frozenset[str] | None
"""Names of a task's own metrics; None if they are unknown before the model is evaluated."""


def task_names(job: Job, folder: Path) -> Callable[[], Names]:
    """Returns a function that asks a job's task for the names of its metrics, once.

    Opens a user's own task in a separate process; one that does not declare its metrics evaluates a few samples.
    """

    @cache
    def names() -> Names:
        if job.task.name in TASKS:
            return open_task(job.task.name, job.task.options, folder).metric_names()
        limit_s = job.limits.training_s + job.limits.exporting_s
        try:
            return in_own_process(
                metric_names_of, job.task.name, job.task.options, folder, stage="exporting", limit_s=limit_s
            )
        except CandidateError:
            return None  # preparation reports what is wrong with the task

    return names


def check_names(job: Job, profile: Profile, own_names: Callable[[], Names]) -> None:
    """Raises :class:`InvalidInput` for an objective or constraint whose metric nothing in the job provides.

    ``own_names`` is called only if the device does not provide all metrics.
    """
    available = device_names(profile) | frozenset(job.own_metrics)
    missing = [(place, name) for place, name in _metric_places(job) if not _is_available(name, available)]
    if not missing:
        return
    own: Names = frozenset() if profile.is_dry_run else own_names()
    if own is None:
        return
    available |= own
    for place, name in missing:
        if not _is_available(name, available):
            if name in label_metrics(()):
                raise InvalidInput(
                    f"{place}: the task has no metric {name!r}, because it has no labels",
                    "put an array 'labels' into the data file, or give the TorchTask labels; without labels use cosine",
                )
            raise InvalidInput(f"{place}: the task has no metric {name!r}", _hint(name, available, job))


def _hint(name: str, available: frozenset[str], job: Job) -> str:
    """Returns the hint for an unknown metric; a known one may have an unknown fold behind its ``@``."""
    base = name.rpartition("@")[0]
    if base not in available:
        near = closest(name, available | label_metrics(()))
        return f"did you mean {near!r}?" if near else nearest(name, available)
    if len(job.devices) == 1:
        return f"write {base}: the job has one device"
    return f"write {either(f'{base}@{fold}' for fold in FOLDS)}, or a device: {either(job.labels)}"


def device_names(profile: Profile) -> frozenset[str]:
    """Returns the metrics that every task has on the device; for a dry run all that it invents."""
    if profile.is_dry_run:
        return frozenset(dry_run_metrics(ModelledCandidate(()))) | _names(lambda row: row.exact)
    on_device = _names(lambda row: row.timed if profile.modelled else row.per_device)
    return on_device | _names(lambda row: row.exact or row.fidelity)


def _names(which: Callable[[Metric], bool]) -> frozenset[str]:
    return frozenset(name for name, row in METRICS.items() if which(row))


def _metric_places(job: Job) -> Iterator[tuple[str, str]]:
    for number, spec in enumerate(job.objectives):
        yield f"objectives.{number}", job.split(spec)[0]
    for number, constraint in enumerate(job.joint_constraints):
        yield f"constraints.{number}", constraint.metric


def _is_available(name: str, names: Collection[str]) -> bool:
    return name in names or name.partition(".")[0] in names
