"""A device with a deadline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from evaluators.devices.deadline import Deadline
from evaluators.devices.device import Device
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.startup import Starts
from evaluators.measuring.throughput import Load, Throughput
from evaluators.tensors import Arrays
from hwprofiles.errors import StageTimeout

T = TypeVar("T")


class TimedDevice(Device):
    """Delegates to ``device`` until a deadline; closes it, too.

    After the deadline, and if it passes during a measurement, it raises :class:`hwprofiles.errors.NotAsked`.
    """

    def __init__(self, device: Device, deadline: Deadline) -> None:
        self.profile = device.profile
        self._device, self._deadline = device, deadline

    def check_time(self) -> None:
        """See :meth:`Device.check_time`."""
        self._deadline.check()

    def measure(self, request: LatencyRequest) -> Measurement:
        """See :meth:`Device.measure`."""
        return self._within(request.limit_s, lambda s: self._device.measure(replace(request, limit_s=s)))

    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        """See :meth:`Device.peak_memory_bytes`."""
        return self._within(
            limit_s, lambda s: self._device.peak_memory_bytes(model, sample, limit_s=s, runtime=runtime)
        )

    def starts(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> Starts | None:
        """See :meth:`Device.starts`."""
        return self._within(limit_s, lambda s: self._device.starts(model, sample, limit_s=s, runtime=runtime))

    def throughput(
        self, baseline: Path, candidate: Path, sample: Arrays, *, load: Load, limit_s: float, runtime: str | None = None
    ) -> Throughput | None:
        """See :meth:`Device.throughput`."""
        return self._within(
            limit_s,
            lambda s: self._device.throughput(baseline, candidate, sample, load=load, limit_s=s, runtime=runtime),
        )

    def close(self) -> None:
        """See :meth:`Device.close`."""
        self._device.close()

    def _within(self, limit_s: float, ask: Callable[[float], T]) -> T:
        self._deadline.check()
        try:
            return ask(self._deadline.within(limit_s))
        except StageTimeout:
            self._deadline.check()  # the deadline, not the model, may be the cause
            raise
