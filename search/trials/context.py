"""The context that a job's processes work in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hwprofiles import Profile
from search.devices.link import RequestLink
from search.job.devices import JobDevice
from search.job.spec import Job
from search.space.candidate import Space


@dataclass(frozen=True)
class JobContext:
    """What a process needs to work on a job; hashable, so that a process can cache its workspace."""

    spec_json: str
    """The resolved job file."""
    folder: str
    """The folder that paths in the job file start from."""
    profile: Profile
    """The job's first device."""
    subject: str | None = None
    """Digest of model and data; None until the job is prepared. Every process must compute the same one."""
    further_devices: tuple[JobDevice, ...] = ()
    link: RequestLink | None = None
    """How remote devices are reached."""
    capabilities: tuple[str, ...] = ()
    """Probed capabilities of the devices, each as JSON."""
    static_schemes: str = "{}"
    """Quantisation schemes by family of runtimes, as JSON; empty until the job is prepared."""
    space: Space | None = None
    """The search space; None until the job is prepared."""
    layer_times: str | None = None
    """The device's table of the model's layers, as JSON, if candidates are built by it."""

    def with_preparation(self, facts: Mapping[str, Any], space: Space) -> JobContext:
        """The context of the job after its preparation, with the facts and the space."""
        times = facts.get("layer_times")
        return replace(
            self, subject=facts["subject"], space=space,
            static_schemes=json.dumps(facts.get("formats", {}), sort_keys=True),
            layer_times=None if times is None else json.dumps(times, sort_keys=True),
        )  # fmt: skip

    @property
    def job(self) -> Job:
        """The job itself."""
        return Job.model_validate_json(self.spec_json)

    @property
    def devices(self) -> tuple[JobDevice, ...]:
        """All devices of the job, the first one first."""
        return (JobDevice(self.job.labels[0], self.profile), *self.further_devices)

    def profile_of(self, device: str | None) -> Profile:
        """The profile of the device with this label; None stands for the first."""
        return next((further.profile for further in self.further_devices if further.label == device), self.profile)
