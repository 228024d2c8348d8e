"""A device: a machine that a profile describes and that can be asked to measure."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import psutil

from evaluators.latency import Protocol, measure_pair
from evaluators.measurement import Measurement
from evaluators.quiet import exclusive_device, measuring
from evaluators.runtimes import runtime_of
from evaluators.runtimes.base import Arrays
from evaluators.sandbox import Sandbox
from hwprofiles import Profile
from hwprofiles.errors import DeviceUnavailable


class Device(ABC):
    """Measures exported files. One measurement at a time on a device, whoever asks, from whatever process.

    ``profile`` is what it is; results of another profile are not comparable. The caller owns the object and closes it.
    A model that crashes or hangs its process raises a :class:`CandidateError` and leaves the device usable.
    """

    profile: Profile

    @abstractmethod
    def measure(
        self,
        baseline: Path,
        candidate: Path,
        sample: Arrays,
        *,
        protocol: Protocol,
        limit_s: float,
        runtime: str | None = None,
    ) -> Measurement:
        """Paired latency of two files on one sample (a batch of the profile's size), within ``limit_s`` seconds.

        The baseline runs in the profile's first runtime, the candidate in ``runtime`` (``name`` or ``name:hint``, None:
        the same one).
        """

    @abstractmethod
    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        """Peak resident memory of a fresh process that holds only this model, above the runtime's import."""

    @abstractmethod
    def close(self) -> None:
        """Frees what measuring needs. Harmless when called again."""


class LocalDevice(Device):
    """This machine. Measures in a process of its own, pinned to the profile's cores, which holds the device's lock and
    the machine's quiet token."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._process = Sandbox()

    def measure(
        self,
        baseline: Path,
        candidate: Path,
        sample: Arrays,
        *,
        protocol: Protocol,
        limit_s: float,
        runtime: str | None = None,
    ) -> Measurement:
        """See :meth:`Device.measure`."""
        asked = self.profile, runtime or self.profile.runtime, baseline, candidate, dict(sample), protocol
        with exclusive_device(self.profile), measuring():
            return self._process.call(_measure, *asked, stage="measuring", limit_s=limit_s)

    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        """See :meth:`Device.peak_memory_bytes`."""
        asked = self.profile, runtime or self.profile.runtime, model, dict(sample)
        fresh = Sandbox()
        try:
            return fresh.call(_peak_memory, *asked, stage="measuring", limit_s=limit_s)
        finally:
            fresh.close()

    def close(self) -> None:
        """Ends the measuring process."""
        self._process.close()


def open_device(profile: Profile) -> Device:
    """The device that a profile describes; raises :class:`DeviceUnavailable` for one that cannot measure."""
    if profile.simulated:
        raise DeviceUnavailable(
            f"device {profile.device!r} is modelled and measures nothing", "name a real device: --device local-cpu"
        )
    return LocalDevice(profile)


def _measure(
    profile: Profile, spec: str, baseline: Path, candidate: Path, sample: Mapping[str, object], protocol: Protocol
) -> Measurement:
    marks = pin(profile)
    first, runtime = runtime_of(profile.runtime), runtime_of(spec)
    return measure_pair(
        lambda: first.open(baseline, threads=profile.threads),
        lambda: runtime.open(candidate, threads=profile.threads),
        sample,  # type: ignore[arg-type]
        profile_digest=profile.digest,
        runtime=spec,
        runtime_version=runtime.version(),
        protocol=protocol,
        marks=marks,
    )


def pin(profile: Profile) -> tuple[str, ...]:
    """Pins this process, and all threads that sessions start later; a mark says where that is not possible."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, profile.cores)
        return ()
    return ("unpinned",)


def _peak_memory(profile: Profile, spec: str, model: Path, sample: Mapping[str, object]) -> int:
    runtime = runtime_of(spec)
    runtime.version()
    before = psutil.Process().memory_info().rss
    session = runtime.open(model, threads=profile.threads)
    try:
        for _ in range(3):
            session.run(sample)  # type: ignore[arg-type]
    finally:
        session.close()
    return max(0, _high_water_bytes() - before)


def _high_water_bytes() -> int:
    """The process's own peak; ``getrusage`` would count its parent's too, which a spawned process inherits."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)
