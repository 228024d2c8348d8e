"""What another process must know to work on a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hwprofiles import Profile
from search.devices.link import ErrandLink
from search.job.devices import JobDevice
from search.job.spec import Job


@dataclass(frozen=True)
class JobContext:
    """A job as its processes need it: the resolved job, the folder that its paths start from, the device, once it is
    prepared the digest of model and data, which every process must find again, the job's further devices, how remote
    ones are reached, what is known of what the devices can do (as JSON), and once it is prepared the number formats
    that were chosen for its runtimes and, where candidates are built by it, the device's table of the model's layers
    (as JSON)."""

    spec_json: str
    folder: str
    profile: Profile
    subject: str | None = None
    others: tuple[JobDevice, ...] = ()
    link: ErrandLink | None = None
    capabilities: tuple[str, ...] = ()
    formats: str = "{}"
    layer_times: str | None = None

    def prepared(self, facts: Mapping[str, Any]) -> JobContext:
        """The order of the job that was prepared with these facts."""
        times = facts.get("layer_times")
        return replace(
            self, subject=facts["subject"], formats=json.dumps(facts.get("formats", {}), sort_keys=True),
            layer_times=None if times is None else json.dumps(times, sort_keys=True),
        )  # fmt: skip

    @property
    def job(self) -> Job:
        """The job itself."""
        return Job.model_validate_json(self.spec_json)

    @property
    def devices(self) -> tuple[JobDevice, ...]:
        """All devices of the job, the first one first."""
        return (JobDevice(self.job.labels[0], self.profile), *self.others)

    def profile_of(self, device: str | None) -> Profile:
        """The profile of the device with this label; None stands for the first."""
        return next((other.profile for other in self.others if other.label == device), self.profile)
