"""A device: a machine that a profile describes and that can be asked to measure."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from evaluators.measuring.attempt import Attempt, select_attempt
from evaluators.measuring.latency import Protocol
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.process import (
    compute_outputs,
    measure_load,
    measure_once,
    measure_peak_memory,
    measure_start_ms,
)
from evaluators.measuring.startup import Starts
from evaluators.measuring.throughput import Load, Throughput
from evaluators.processes.locks import exclusive_device, lock_folder, measuring
from evaluators.processes.sandbox import Sandbox, in_own_process
from evaluators.tensors import Array, Arrays
from hwprofiles import Profile
from hwprofiles.errors import DeviceUnavailable, MachineBusy, StageTimeout

T = TypeVar("T", Measurement, Throughput)

STARTS = 5
"""Fresh processes that a cold start is timed in."""


class Device(ABC):
    """Measures exported files. One measurement at a time on a device, whoever asks, from whatever process.

    ``profile`` is what it is; results of another profile are not comparable. The caller owns the object and closes it.
    A model that crashes or hangs its process raises a :class:`CandidateError` and leaves the device usable.
    """

    profile: Profile

    def check_time(self) -> None:  # noqa: B027 - most devices are asked whenever somebody wants
        """Raises :class:`hwprofiles.errors.NotAsked` where there is no time to ask it anything: called before work
        that would be for such a question alone."""

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
        the same one). The record's ``health`` says whether the machine was fit to be measured on. One that was not is
        measured on again, up to ``protocol.attempts`` times in all; where it never was, the last attempt is returned.
        """

    @abstractmethod
    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        """Peak resident memory of a fresh process that holds only this model, above the runtime's import."""

    def starts(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> Starts | None:
        """How long fresh processes take to open a model and run it once; None from a device that cannot be asked."""
        return None

    def throughput(
        self, baseline: Path, candidate: Path, sample: Arrays, *, load: Load, limit_s: float, runtime: str | None = None
    ) -> Throughput | None:
        """Samples per second of both models under several streams at once, paired as :meth:`measure` does; None from a
        device that cannot be asked."""
        return None

    def outputs(
        self, model: Path, samples: Arrays, *, limit_s: float, runtime: str | None = None
    ) -> dict[str, Array] | None:
        """What a model answers to samples there, in batches of the profile's size; None from a device that cannot be
        asked. Raises :class:`UnsupportedOp` for answers that are too large to travel."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Frees what measuring needs. Harmless when called again."""


class LocalDevice(Device):
    """This machine. Measures in a process of its own, pinned to the profile's cores, which holds the device's lock and
    the machine's quiet token."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._process = Sandbox()
        self._stays: str | None = None
        """The verdict at the end of the last measurement, where that was unhealthy throughout."""

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
            made = self._attempts(measure_once, (*asked, lock_folder()), protocol.attempts, limit_s)
        return select_attempt(made)

    def _attempts(
        self, function: Callable[..., Attempt[T]], asked: tuple[Any, ...], most: int, limit_s: float
    ) -> list[Attempt[T]]:
        """Attempts until one is not unhealthy, at most ``most`` and as far as the time allows.

        Where the one before stayed unhealthy to its end, and this one begins in the same way, it is there to stay.
        """
        ends_at, longest_s = time.monotonic() + limit_s, 0.0
        made: list[Attempt[T]] = []
        for _ in range(max(1, most)):
            started = time.monotonic()
            if made and started + longest_s > ends_at:
                break
            try:
                left_s = ends_at - started if made else limit_s
                made.append(self._process.call(function, *asked, stage="measuring", limit_s=left_s))
            except (StageTimeout, MachineBusy):
                if not made:
                    raise
                break
            longest_s = max(longest_s, time.monotonic() - started)
            if not made[-1].health.transient or made[0].health.verdict == self._stays:
                break
        self._stays = made[-1].health.verdict if made[-1].health.transient else None
        return made

    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        """See :meth:`Device.peak_memory_bytes`."""
        asked = self.profile, runtime or self.profile.runtime, model, dict(sample)
        with exclusive_device(self.profile), measuring():
            return in_own_process(measure_peak_memory, *asked, stage="measuring", limit_s=limit_s)

    def starts(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> Starts:
        """See :meth:`Device.starts`. Every figure is a fresh process's; the file is in the system's cache."""
        asked = self.profile, runtime or self.profile.runtime, model, dict(sample)
        found: list[tuple[float, float]] = []
        with exclusive_device(self.profile), measuring():
            ends_at = time.monotonic() + limit_s
            for _ in range(STARTS):
                left_s = ends_at - time.monotonic()
                found.append(in_own_process(measure_start_ms, *asked, stage="measuring", limit_s=left_s))
        return Starts(tuple(cold for cold, _ in found), tuple(warm for _, warm in found))

    def throughput(
        self, baseline: Path, candidate: Path, sample: Arrays, *, load: Load, limit_s: float, runtime: str | None = None
    ) -> Throughput:
        """See :meth:`Device.throughput`."""
        asked = self.profile, runtime or self.profile.runtime, baseline, candidate, dict(sample), load
        with exclusive_device(self.profile), measuring():
            return select_attempt(self._attempts(measure_load, asked, load.attempts, limit_s))

    def outputs(self, model: Path, samples: Arrays, *, limit_s: float, runtime: str | None = None) -> dict[str, Array]:
        """See :meth:`Device.outputs`."""
        asked = self.profile, runtime or self.profile.runtime, model, dict(samples)
        return in_own_process(compute_outputs, *asked, stage="measuring", limit_s=limit_s)

    def close(self) -> None:
        """Ends the measuring process."""
        self._process.close()


def open_device(profile: Profile) -> Device:
    """The device that a profile describes; raises :class:`DeviceUnavailable` for one that cannot measure."""
    if profile.simulated:
        raise DeviceUnavailable(
            f"device {profile.device!r} is modelled and measures nothing", "name a real device: --device local-cpu"
        )
    if profile.agent:
        raise DeviceUnavailable(
            f"device {profile.device!r} is measured by its agent, not by this machine",
            "name a device of this machine: --device local-cpu",
        )
    return LocalDevice(profile)
