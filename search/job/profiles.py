"""The devices of a job as they are now."""

from __future__ import annotations

from search.devices.lookup import DeviceRegistry
from search.job.devices import JobDevice
from search.job.spec import Job


def profiles_of(job: Job, registry: DeviceRegistry) -> tuple[JobDevice, ...]:
    """Looks up all devices of a job, the first one first; raises as :meth:`DeviceRegistry.find` does."""
    profiles = (registry.find(device.name, device.threads, device.batch) for device in job.devices)
    return tuple(JobDevice(label, profile) for label, profile in zip(job.labels, profiles, strict=True))
