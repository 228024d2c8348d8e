"""A job of several devices as each of them sees it, and as all of them see it together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dashboards.documents.job_candidates import JobCandidates
from dashboards.words import Json
from hwprofiles import Profile
from search.fronts.views import View
from search.job.spec import Job
from search.job.views import views_of
from search.store import JobRow, digests_of


@dataclass(frozen=True)
class DeviceView:
    """The stored parts of a job as one device sees them: as if it were the job's only one."""

    job: JobRow
    profile: Profile
    front: Json | None
    candidates: JobCandidates


def views_by_device(
    job: JobRow, profiles: Sequence[Profile], front: Json | None, candidates: JobCandidates
) -> dict[str, DeviceView]:
    """Returns the views of a job's devices by label; empty for one device. ``profiles`` are theirs, the first one
    first."""
    if len(profiles) < 2:
        return {}
    pairs = zip(views_of(Job.model_validate(job.spec)), profiles, strict=False)
    return {
        view.label: _view(view, job, profile, front, candidates) for view, profile in pairs if view.label is not None
    }


def joint_view(job: JobRow, profile: Profile, front: Json | None, candidates: JobCandidates) -> DeviceView:
    """Returns the view of all devices together; ``profile`` is that of the first one."""
    return _view(views_of(Job.model_validate(job.spec))[-1], job, profile, front, candidates)


def _view(view: View, job: JobRow, profile: Profile, front: Json | None, candidates: JobCandidates) -> DeviceView:
    stored: Mapping[str, Any] = front or {}
    baseline = job.baseline
    own_front = stored.get("joint") if view.label is None else stored.get("fronts", {}).get(view.label)
    device = ", ".join(digests_of(job)) if view.label is None else view.label
    spec = job.spec | {
        "objectives": [{"metric": o.metric, "direction": o.direction} for o in view.objectives],
        "constraints": [constraint.text for constraint in view.constraints],
    }
    own_baseline = None if baseline is None else {**baseline, "metrics": view.metrics(baseline["metrics"])}
    seen = candidates if baseline is None else candidates.on_view(view, baseline["metrics"])
    own_job = replace(job, spec=spec, baseline=own_baseline, device=device, profile_digest=profile.digest)
    return DeviceView(own_job, profile, own_front, seen)
