"""The Ray resources by which the nodes of a cluster declare the devices that they measure on."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from evaluators.agent.blobs import BlobCache
from evaluators.agent.executor import Executor
from evaluators.agent.limits import DEFAULT_CACHE_BYTES, DEFAULT_MAX_MODEL_BYTES
from hwprofiles.folders import cache_folder
from hwprofiles.probe import usable_cores

_DIGITS = 16
"""Digits of the profile's digest in a resource's name."""

_NAME = re.compile(rf"paretune:([^:]+):([^:]+):([0-9a-f]{{{_DIGITS}}})")

_ENVIRONMENT = "RAY_AUTH_MODE=token RAY_worker_niceness=0"
"""Variables of each ``ray start``. Ray nices its workers by default: whatever else runs would take a measurement's
core."""


@dataclass(frozen=True)
class NodeDevice:
    """A device that nodes of a cluster measure on, as its Ray resource says."""

    name: str
    """Its name in jobs."""
    local: str
    """Its name on the node, such as ``local-cpu``."""
    digest: str
    """The first digits of its profile's digest, for one thread and batch 1."""

    @property
    def resource(self) -> str:
        """The name of the Ray resource; a node has one of it, so that it measures one model at a time.

        >>> NodeDevice("lab", "local-cpu", "0123456789abcdef").resource
        'paretune:lab:local-cpu:0123456789abcdef'
        """
        return f"paretune:{self.name}:{self.local}:{self.digest}"

    @classmethod
    def parse(cls, resource: str) -> NodeDevice | None:
        """Returns the inverse of :attr:`resource`; None for any other resource."""
        match = _NAME.fullmatch(resource)
        return None if match is None else cls(*match.groups())

    def open(self) -> Executor:
        """Opens this device of this machine, which may be another one than the resource says."""
        cache = BlobCache(cache_folder() / "agent" / self.name, DEFAULT_CACHE_BYTES)
        return Executor(self.name, self.local, (), cache, DEFAULT_MAX_MODEL_BYTES)


def devices_among(resources: Iterable[str]) -> list[NodeDevice]:
    """Returns the devices among the names of a node's resources."""
    return [device for name in resources if (device := NodeDevice.parse(name)) is not None]


def declare(name: str, local: str) -> NodeDevice:
    """Returns what declares a device of this machine by a name; raises as :func:`hwprofiles.find_device` does."""
    executor = NodeDevice(name, local, "").open()
    return NodeDevice(name, local, executor.profile.digest[:_DIGITS])


@dataclass(frozen=True)
class StartCommands:
    """How a node that declares a device is started."""

    device: NodeDevice
    threads: int
    """Cores that trials leave to the measurements."""

    @property
    def resources(self) -> str:
        """What ``ray start --resources`` takes."""
        return json.dumps({self.device.resource: 1})

    @property
    def trial_cpus(self) -> int:
        """Trials that the node works on at a time."""
        return max(1, len(usable_cores()) - self.threads)

    @property
    def head(self) -> str:
        """The command for the first node."""
        return f"{_ENVIRONMENT} ray start --head --port=6379 {self._options}"

    @property
    def further(self) -> str:
        """The command for each further node."""
        return f"{_ENVIRONMENT} ray start --address=HEAD:6379 {self._options}"

    @property
    def _options(self) -> str:
        return f"--num-cpus={self.trial_cpus} --resources={shlex.quote(self.resources)}"
