"""The documents of a job of several devices: the job as each of them sees it, and as they see it together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dashboards.documents.runtime import costs_of
from hwprofiles import Profile
from search.fronts.views import View
from search.job.spec import Job
from search.job.views import views_of
from search.store import digests_of

if TYPE_CHECKING:
    from dashboards.documents.report import JobReport

Json = dict[str, Any]

_OF_THE_JOB = (
    "job_id", "name", "state", "process_died", "wall_s", "time_s", "ending", "simulated", "evidence", "prediction",
    "notes",
)  # fmt: skip
_OF_A_DEVICE = ("device", "profile_digest")
_OF_A_VIEW = ("state", "reason", "on_front", "tied_with", "values", "intervals", "shown")


def by_device(report: JobReport) -> dict[str, JobReport]:
    """The job as if each device were its only one, by label; empty where it has one only."""
    if not report.others:
        return {}
    profiles = zip(views_of(Job.model_validate(report.job.spec)), (report.profile, *report.others), strict=False)
    return {view.label: _seen(report, view, profile) for view, profile in profiles if view.label is not None}


def together(report: JobReport) -> JobReport:
    """The job as all of its devices see it together."""
    return _seen(report, views_of(Job.model_validate(report.job.spec))[-1], report.profile)


def _seen(report: JobReport, view: View, profile: Profile) -> JobReport:
    stored, baseline = report.stored_front or {}, report.job.baseline
    front = stored.get("joint") if view.label is None else stored.get("fronts", {}).get(view.label)
    device = ", ".join(digests_of(report.job)) if view.label is None else view.label
    spec = report.job.spec | {
        "objectives": [{"metric": o.metric, "direction": o.direction} for o in view.objectives],
        "constraints": [constraint.text for constraint in view.constraints],
    }
    seen = None if baseline is None else {**baseline, "metrics": view.metrics(baseline["metrics"])}
    rows = report.trials if baseline is None else view.rows(report.trials, baseline["metrics"])
    job = replace(report.job, spec=spec, baseline=seen, device=device, profile_digest=profile.digest)
    return replace(
        report, job=job, profile=profile, stored_front=front, trials=tuple(rows), others=(), of_all=report.job
    )


def front_on_all(report: JobReport) -> Json:
    """The first device's front, with those of all devices and the joint one."""
    first = next(iter(report.views.values())).front_document()
    return first | {
        "trials": report.counts(),
        "fronts": {label: _part(view) for label, view in report.views.items()},
        "joint": {key: value for key, value in _part(together(report)).items() if key not in _OF_A_DEVICE},
    }


def _part(view: JobReport) -> Json:
    """A front document without what the job's others have too."""
    whole = view.front_document()
    baseline = {"metrics": whole["baseline"]["metrics"]}
    return {key: value for key, value in whole.items() if key not in _OF_THE_JOB} | {"baseline": baseline}


def trials_on_all(report: JobReport) -> Json:
    """The first device's trials, each with what every device and all of them together see of it."""
    seen = {label: view.trials_document() for label, view in report.views.items()}
    joint = together(report).trials_document()
    first = next(iter(seen.values()))
    rows = [
        row
        | {
            "devices": {label: _seen_of(view["trials"][place]) for label, view in seen.items()},
            "joint": _seen_of(joint["trials"][place]),
        }
        for place, row in enumerate(first["trials"])
    ]
    return first | {
        "devices": {label: _head(view) for label, view in seen.items()},
        "joint": _head(joint),
        "trials": rows,
    }


def _head(trials: Mapping[str, Any]) -> Json:
    return {key: trials[key] for key in ("objectives", "baseline")}


def _seen_of(row: Mapping[str, Any]) -> Json:
    return {key: row[key] for key in _OF_A_VIEW}


def standings(report: JobReport, candidate_id: str) -> Json:
    """Where a candidate stands on each device."""
    found = {}
    for label, view in report.views.items():
        trial = next(trial for trial in view.trials if trial.candidate_id == candidate_id)
        found[label] = {
            "state": str(trial.state),
            "reason": trial.reason,
            "on_front": candidate_id in view.members,
            "tied_with": view.ties.get(candidate_id, []),
            "runtime": view.runtime_of(trial),
            "costs": costs_of(trial.metrics, view.baseline["metrics"]),
        }
    return found


def in_short(report: JobReport) -> list[Json]:
    """The devices, and how far the front of each has come."""
    return [
        {
            "device": label,
            "profile_digest": view.job.profile_digest,
            "front_size": len(view.members),
            "best_speedup": view.best_speedup(),
            "baseline_health": view.baseline_health,
        }
        for label, view in report.views.items()
    ]
