"""Devices: machines that measure exported files."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from evaluators.measuring.attempt import Attempt, select_attempt
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.process import (
    compute_outputs,
    measure_load_once,
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
"""Fresh processes in which a cold start is timed."""


class Device(ABC):
    """Measures exported files, one measurement at a time per device, over all processes.

    The caller owns the object and closes it. A model that crashes or hangs its process raises a
    :class:`CandidateError` and leaves the device usable. All methods take seconds to minutes, within ``limit_s``;
    ``runtime`` is ``name`` or ``name:hint``, None for the profile's first one.
    """

    profile: Profile
    """The device; results of different profiles are not comparable."""

    def check_time(self) -> None:  # noqa: B027 - most devices have no deadline
        """Raises :class:`hwprofiles.errors.NotAsked` if no time is left to measure anything.

        Called before work that is only needed for a measurement.
        """

    @abstractmethod
    def measure(self, request: LatencyRequest) -> Measurement:
        """Measures the paired latency of two files.

        The record's ``health`` says whether the machine was fit to measure. If not, the measurement is repeated, up to
        ``protocol.attempts`` times in all; if the machine never is, the last attempt is returned.
        """

    @abstractmethod
    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        """Measures the peak memory of a fresh process with only this model, above that with the runtime imported."""

    def starts(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> Starts | None:
        """Measures how long fresh processes take to open a model and run it once; None if the device cannot."""
        return None

    def throughput(
        self, baseline: Path, candidate: Path, sample: Arrays, *, load: Load, limit_s: float, runtime: str | None = None
    ) -> Throughput | None:
        """Measures the paired throughput of both models under several concurrent streams; None if the device cannot."""
        return None

    def outputs(
        self, model: Path, samples: Arrays, *, limit_s: float, runtime: str | None = None
    ) -> dict[str, Array] | None:
        """Computes a model's outputs for samples on the device, in batches of the profile's size.

        None if the device cannot. Raises :class:`UnsupportedOp` for outputs that are too large to send.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Frees the resources for measuring. May be called again."""


class LocalDevice(Device):
    """This machine: measures in a child process, pinned to the profile's cores, while holding the device's lock and the
    machine's quiet token."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._process = Sandbox()
        self._lasting_verdict: str | None = None
        """Verdict of the last measurement if all its attempts were unhealthy; if the next one's first attempt has the
        same verdict, it is not repeated."""

    def measure(self, request: LatencyRequest) -> Measurement:
        """See :meth:`Device.measure`."""
        arguments = self.profile, replace(request, sample=dict(request.sample)), lock_folder()
        with exclusive_device(self.profile), measuring():
            attempts = self._attempt(measure_once, arguments, request.protocol.attempts, request.limit_s)
        return select_attempt(attempts)

    def _attempt(
        self, function: Callable[..., Attempt[T]], arguments: tuple[Any, ...], most: int, limit_s: float
    ) -> list[Attempt[T]]:
        """Makes attempts until the machine is fit, at most ``most`` and as many as the time allows.

        If the last measurement was unhealthy to its end and this one starts with the same verdict, the cause is
        considered lasting and no attempt is repeated.
        """
        ends_at, longest_s = time.monotonic() + limit_s, 0.0
        attempts: list[Attempt[T]] = []
        for _ in range(max(1, most)):
            started = time.monotonic()
            if attempts and started + longest_s > ends_at:
                break
            try:
                left_s = ends_at - started if attempts else limit_s
                attempts.append(self._process.call(function, *arguments, stage="measuring", limit_s=left_s))
            except (StageTimeout, MachineBusy):
                if not attempts:
                    raise
                break
            longest_s = max(longest_s, time.monotonic() - started)
            if not attempts[-1].health.transient or attempts[0].health.verdict == self._lasting_verdict:
                break
        self._lasting_verdict = attempts[-1].health.verdict if attempts[-1].health.transient else None
        return attempts

    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        """See :meth:`Device.peak_memory_bytes`."""
        arguments = self.profile, runtime or self.profile.runtime, model, dict(sample)
        with exclusive_device(self.profile), measuring():
            return in_own_process(measure_peak_memory, *arguments, stage="measuring", limit_s=limit_s)

    def starts(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> Starts:
        """See :meth:`Device.starts`. Each figure is from a fresh process; the file is in the system's cache."""
        arguments = self.profile, runtime or self.profile.runtime, model, dict(sample)
        times_ms: list[tuple[float, float]] = []
        with exclusive_device(self.profile), measuring():
            ends_at = time.monotonic() + limit_s
            for _ in range(STARTS):
                left_s = ends_at - time.monotonic()
                times_ms.append(in_own_process(measure_start_ms, *arguments, stage="measuring", limit_s=left_s))
        return Starts(tuple(cold for cold, _ in times_ms), tuple(warm for _, warm in times_ms))

    def throughput(
        self, baseline: Path, candidate: Path, sample: Arrays, *, load: Load, limit_s: float, runtime: str | None = None
    ) -> Throughput:
        """See :meth:`Device.throughput`."""
        arguments = self.profile, runtime or self.profile.runtime, baseline, candidate, dict(sample), load
        with exclusive_device(self.profile), measuring():
            return select_attempt(self._attempt(measure_load_once, arguments, load.attempts, limit_s))

    def outputs(self, model: Path, samples: Arrays, *, limit_s: float, runtime: str | None = None) -> dict[str, Array]:
        """See :meth:`Device.outputs`."""
        arguments = self.profile, runtime or self.profile.runtime, model, dict(samples)
        return in_own_process(compute_outputs, *arguments, stage="measuring", limit_s=limit_s)

    def close(self) -> None:
        """Ends the measuring process."""
        self._process.close()


def open_device(profile: Profile) -> Device:
    """Opens the device of a profile. Raises :class:`DeviceUnavailable` for a simulated or remote one."""
    if profile.simulated:
        raise DeviceUnavailable(
            f"device {profile.device!r} is simulated, so it cannot be measured", "use a real device: --device local-cpu"
        )
    if profile.agent:
        raise DeviceUnavailable(
            f"device {profile.device!r} is measured by its agent, not by this machine",
            "use a device of this machine: --device local-cpu",
        )
    return LocalDevice(profile)
