"""The context that a job's processes work in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

from evaluators.probing.capability import Capability
from evaluators.probing.layer_table import LayerTable
from evaluators.quantize import Scheme
from hwprofiles import Profile, digest_of
from search.devices.link import DeviceLink
from search.job.devices import JobDevice
from search.job.facts import JobFacts
from search.job.spec import Job
from search.space.candidate import Space


@dataclass(frozen=True, eq=False)
class JobContext:
    """What a process needs to work on a job; sent to sandboxes and workers. Equal contexts share a workspace."""

    job: Job
    folder: str
    """The folder that paths in the job file start from, on this machine."""
    devices: tuple[JobDevice, ...]
    """All devices of the job, the first one first."""
    link: DeviceLink | None = None
    """How remote devices are reached."""
    capabilities: tuple[Capability, ...] = ()
    """Probed capabilities of the devices."""
    subject: str | None = None
    """Digest of model and data; None until the job is prepared. Every process must compute the same one."""
    static_schemes: Mapping[str, Scheme] = field(default_factory=dict)
    """Quantisation schemes by family of runtimes; empty until the job is prepared."""
    space: Space | None = None
    """The search space; None until the job is prepared."""
    layer_times: LayerTable | None = None
    """The first device's table of the model's layers, if candidates are built by it."""
    files: Mapping[str, str] | None = None
    """The files in ``folder`` by their relative paths, with their SHA-256; None if the job was not submitted with
    any."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Digests of the job's inputs (:attr:`JobFacts.digests`); empty until the job is prepared."""

    def with_preparation(self, facts: JobFacts, space: Space) -> JobContext:
        """Returns the context of the job after its preparation, with the facts and the space."""
        schemes, times = facts.static_schemes, facts.layer_times
        return replace(
            self, subject=facts.subject, space=space, static_schemes=schemes, layer_times=times, digests=facts.digests
        )

    def with_purpose(self, purpose: str) -> JobContext:
        """Returns the context of the job for measurements of this purpose."""
        return self if self.link is None else replace(self, link=self.link.with_purpose(purpose))

    @property
    def prepared_space(self) -> Space:
        """The search space; raises :class:`ValueError` if the job is not prepared."""
        if self.space is None:
            raise ValueError("the job is not prepared yet")
        return self.space

    @cached_property
    def digest(self) -> str:
        """Names everything in it."""
        return digest_of(
            {
                "job": self.job.model_dump_json(),
                "folder": self.folder,
                "devices": [[device.label, device.profile.to_dict()] for device in self.devices],
                "link": None if self.link is None else asdict(self.link),
                "capabilities": [capability.to_dict() for capability in self.capabilities],
                "subject": self.subject,
                "static_schemes": {family: asdict(scheme) for family, scheme in self.static_schemes.items()},
                "space": None if self.space is None else self.space.to_dict(),
                "layer_times": None if self.layer_times is None else self.layer_times.to_dict(),
                "files": self.files,
                "digests": dict(self.digests),
            }
        )

    def __eq__(self, context: object) -> bool:
        return isinstance(context, JobContext) and context.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def profile(self) -> Profile:
        """The profile of the first device."""
        return self.devices[0].profile

    @property
    def further_devices(self) -> tuple[JobDevice, ...]:
        """All devices but the first one."""
        return self.devices[1:]

    def profile_of(self, device: str | None) -> Profile:
        """Returns the profile of the device with this label; None stands for the first."""
        return next((further.profile for further in self.further_devices if further.label == device), self.profile)
