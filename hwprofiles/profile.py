"""Hardware profiles: everything about a device that can change a latency, with a digest."""

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
"""Fields that profiles of the first version did not have; empty ones do not count in the digest."""


@dataclass(frozen=True)
class Profile:
    """A device and how it is used. Results of two digests are never mixed."""

    device: str
    """The device's name."""
    runtime: str
    """The runtime that executes the baseline."""
    runtime_version: str
    processor: str
    instruction_sets: tuple[str, ...]
    cores: tuple[int, ...]
    """Ids of the cores that measurements are pinned to."""
    memory_bytes: int
    threads: int = 1
    """Threads of an inference."""
    batch: int = 1
    """Samples in one inference."""
    simulated: bool = False
    """Whether nothing is measured, see ``modelled`` and ``is_dry_run``. Such records never share a front with measured
    ones."""
    runtimes: tuple[tuple[str, str], ...] = ()
    """Name and version of every installed runtime, ``runtime`` first."""
    machine: Machine | None = None
    """The properties of a real device's machine."""
    gpu: Gpu | None = None
    """The GPU that executes, if one does."""
    peaks: Peaks | None = None
    """The peak rates of a described device."""
    agent: bool = False
    """Whether an agent measures on another machine."""
    core_type: str = ""
    """The type of ``cores`` on a machine whose cores differ."""

    @property
    def is_dry_run(self) -> bool:
        """Whether all figures are made up, quality included: for tests and dry runs."""
        return self.simulated and self.peaks is None

    @property
    def modelled(self) -> bool:
        """Whether speed is a bound from the device's peak rates; quality is evaluated."""
        return self.simulated and self.peaks is not None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the profile's content.

        Fields that later versions added count only if they are not empty, so that digests of older profiles stay the
        same. Memory is rounded to two digits: under a hypervisor it varies a little.
        """
        data = self.to_dict()
        data["memory_bytes"] = _rough(self.memory_bytes)
        if self.machine is not None:
            data["machine"]["memory_bytes"] = _rough(self.machine.memory_bytes)
        return digest_of({key: value for key, value in data.items() if value or key not in _ADDED})

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data; tuples become lists."""
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
        """Returns the inverse of :meth:`to_dict`; also reads data of earlier versions."""
        values = dict(data)
        values["instruction_sets"] = tuple(values["instruction_sets"])
        values["cores"] = tuple(values["cores"])
        values["runtimes"] = tuple((name, version) for name, version in values.get("runtimes", ()))
        for key, kind in (("machine", Machine), ("gpu", Gpu), ("peaks", Peaks)):
            part = values.get(key)
            values[key] = None if part is None else kind.from_dict(part)
        return cls(**values)


def check_threads(device: str, threads: int, cores: int) -> None:
    """Raises :class:`DeviceUnavailable` if a device has fewer usable cores than ``threads``."""
    if threads > cores:
        available = "1 core" if cores == 1 else f"{cores} cores"
        raise DeviceUnavailable(
            f"device {device!r}: {threads} threads requested, {available} available", f"set threads to {cores} or fewer"
        )


def _rough(value: int | None) -> int | None:
    """Rounds to two significant digits."""
    return value and int(float(f"{value:.1e}"))
