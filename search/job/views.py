"""The views of a job: one per device, and the joint one."""

from __future__ import annotations

from search.fronts.views import View
from search.job.spec import Job


def views_of(job: Job) -> list[View]:
    """Returns one view per device, then the joint one; a job of one device has the joint one only."""
    joint = View(None, job.joint_objectives, job.joint_constraints)
    if len(job.devices) == 1:
        return [joint]
    return [*(View(label, job.objectives_on(label), job.constraints_on(label)) for label in job.labels), joint]
