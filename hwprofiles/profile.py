"""A hardware profile: everything about a device that can change a latency, with a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from hwprofiles.digest import digest_of
from hwprofiles.errors import DeviceUnavailable
from hwprofiles.gpus import Gpu
from hwprofiles.machine import Machine
from hwprofiles.peaks import Peaks

_ADDED = ("runtimes", "machine", "gpu", "peaks", "agent", "core_type")
"""Fields that profiles of the first version did not have."""


@dataclass(frozen=True)
class Profile:
    """What a device is. Results of two digests are never mixed.

    ``simulated`` profiles measure nothing (see ``modelled`` and ``invented``): their records never share a front with
    measured ones. ``cores`` are the ids of
    the cores that a measurement is pinned to, ``threads`` of them used; ``batch`` is the samples in one inference.
    ``runtimes`` are name and version of every runtime installed there, the first being ``runtime``. ``machine`` is what
    the device's machine says of itself, ``gpu`` the GPU that executes, and ``peaks`` what a described device can do at
    most, from which it is modelled; each None where there is none. ``core_type`` says of which type ``cores`` are, on a
    machine whose cores differ.
    """

    device: str
    runtime: str
    runtime_version: str
    processor: str
    instruction_sets: tuple[str, ...]
    cores: tuple[int, ...]
    memory_bytes: int
    threads: int = 1
    batch: int = 1
    simulated: bool = False
    runtimes: tuple[tuple[str, str], ...] = ()
    machine: Machine | None = None
    gpu: Gpu | None = None
    peaks: Peaks | None = None
    agent: bool = False
    core_type: str = ""

    @property
    def invented(self) -> bool:
        """Whether every figure of a candidate is made up here, its quality too: a dry run's, for tests."""
        return self.simulated and self.peaks is None

    @property
    def modelled(self) -> bool:
        """Whether a candidate's speed here is a bound from the device's peaks; its quality is evaluated."""
        return self.simulated and self.peaks is not None

    @cached_property
    def digest(self) -> str:
        """Changes when anything of the profile does. What later versions added counts only where it says something, so
        that the digests of profiles which do not have it stay what they are. Of memory two digits count: a hypervisor
        takes and gives back a little of it all the time."""
        data = self.to_dict()
        data["memory_bytes"] = _rough(self.memory_bytes)
        if self.machine is not None:
            data["machine"]["memory_bytes"] = _rough(self.machine.memory_bytes)
        return digest_of({key: value for key, value in data.items() if value or key not in _ADDED})

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data; tuples become lists."""
        data = asdict(self)
        for key, value in data.items():
            data[key] = list(value) if isinstance(value, tuple) else value
        data["runtimes"] = [list(pair) for pair in self.runtimes]
        for key in ("machine", "gpu", "peaks"):
            part = getattr(self, key)
            data[key] = None if part is None else part.to_dict()
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Profile:
        """The inverse of :meth:`to_dict`, also of what an earlier version wrote."""
        values = dict(data)
        values["instruction_sets"] = tuple(values["instruction_sets"])
        values["cores"] = tuple(values["cores"])
        values["runtimes"] = tuple((name, version) for name, version in values.get("runtimes", ()))
        for key, kind in (("machine", Machine), ("gpu", Gpu), ("peaks", Peaks)):
            part = values.get(key)
            values[key] = None if part is None else kind.from_dict(part)
        return cls(**values)


def check_threads(device: str, threads: int, cores: int, said: str) -> None:
    """Raises :class:`DeviceUnavailable` for more ``threads`` than a device has cores; ``said`` counts them in words."""
    if threads > cores:
        raise DeviceUnavailable(
            f"device {device!r} was asked for {threads} threads, but {said}", f"set threads to {cores} or fewer"
        )


def _rough(value: int | None) -> int | None:
    """To two significant digits."""
    return value and int(float(f"{value:.1e}"))
