"""Chooses the objectives of a job that names none: what its task calls quality, and the speed-up."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from evaluators.metrics import METRICS, base_of
from hwprofiles import Profile
from search.devices.lookup import NO_AGENTS, DeviceRegistry
from search.job.metric_names import Names, check_names, device_names, task_names
from search.job.profiles import profiles_of
from search.job.spec import Job, ObjectiveSpec

_ERRORS = frozenset(
    ("loss", "error", "err", "mse", "mae", "rmse", "wer", "cer", "perplexity", "nll", "fnr", "fpr", "distance")
)
"""Words in a metric's name that say that smaller is better; of other unknown metrics larger is."""


def resolve_objectives(job: Job, folder: Path, registry: DeviceRegistry = NO_AGENTS) -> tuple[Job, str]:
    """Returns the job with objectives, and why it has these if it named none (else an empty text).

    Asks the task for its metrics, a user's own task in a separate process. Raises :class:`InvalidInput` for a metric
    that nothing in the job provides.
    """
    names, profile = task_names(job, folder), profiles_of(job, registry)[0].profile
    chosen, reason = (job, "") if job.names_objectives else _with_default(job, profile, names)
    check_names(chosen, profile, names)
    return chosen, reason


def _with_default(job: Job, profile: Profile, names: Callable[[], Names]) -> tuple[Job, str]:
    metric, direction, reason = _quality_of(names())
    if profile.is_dry_run and metric not in device_names(profile):
        metric, direction, reason = "cosine", "max", f"a dry run does not make up {metric}"
    goals = (ObjectiveSpec(metric=metric, direction=direction), ObjectiveSpec(metric="speedup", direction="max"))
    return job.model_copy(update={"objectives": goals}), f"default; {reason}"


def _quality_of(names: Names) -> tuple[str, Literal["max", "min"], str]:
    """Returns the metric of quality of a task with these metrics, its better direction, and the reason.

    >>> _quality_of(frozenset({"word_error"}))
    ('word_error', 'min', "word_error is the task's own metric, smaller is better")
    """
    if names is None:
        return "cosine", "max", "the task's own metrics are not known before it is evaluated"
    own = sorted(name for name in names if not ((row := METRICS.get(base_of(name))) and (row.fidelity or row.cost)))
    if "accuracy" in own:
        return "accuracy", "max", "the task has labels"
    if len(own) == 1:
        (name,) = own
        direction: Literal["max", "min"] = "min" if _ERRORS & set(re.split(r"[^a-z]+", name.lower())) else "max"
        better = "smaller" if direction == "min" else "larger"
        return name, direction, f"{name} is the task's own metric, {better} is better"
    if own:
        return "cosine", "max", f"the task has several metrics: {', '.join(own)}; choose with --objective"
    return "cosine", "max", "the task has no labels"
