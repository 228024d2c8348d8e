"""A job's candidates as one of its devices sees them, or all together."""

from __future__ import annotations

from search.fronts.views import View
from search.job.spec import Job


def views_of(job: Job) -> list[View]:
    """One view a device, then the joint one; a job of one device has that one alone."""
    joint = View(None, job.parsed_objectives, job.parsed_constraints)
    if len(job.devices) == 1:
        return [joint]
    return [*(View(label, job.objectives_on(label), job.constraints_on(label)) for label in job.labels), joint]
