"""Makes contexts of jobs with one device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwprofiles import Profile, find_device
from search.job.devices import JobDevice
from search.job.spec import Job
from search.trials.context import JobContext


def context_of(job: Job, folder: Path, profile: Profile | None = None, **fields: Any) -> JobContext:
    """The context of a job on one device, ``local-cpu`` by default, whatever device the job names."""
    return JobContext(job, str(folder), (JobDevice(job.labels[0], profile or find_device("local-cpu")),), **fields)
