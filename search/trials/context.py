"""The context that a job's processes work in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from hwprofiles import Profile
from search.devices.link import RequestLink
from search.job.devices import JobDevice
from search.job.facts import JobFacts
from search.job.spec import Job


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
    layer_times: str | None = None
    """The device's table of the model's layers, as JSON, if candidates are built by it."""

    def with_facts(self, facts: JobFacts) -> JobContext:
        """The context of the job after its preparation with these facts."""
        times, schemes = facts.layer_times, facts.static_schemes
        return replace(
            self, subject=facts.subject, static_schemes=json.dumps({k: asdict(v) for k, v in schemes.items()}),
            layer_times=None if times is None else json.dumps(times.to_dict(), sort_keys=True),
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
