"""A device that answers as a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from evaluators.devices.device import Device
from evaluators.health import Health
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.tensors import Arrays
from hwprofiles import Profile, find_device

Speed = Callable[[Path], float]
"""The speed-up of a candidate's file; may raise what a real device raises."""


class FakeDevice(Device):
    """Measures by asking ``speed``; its intervals are ``half_width`` of the ratio wide on either side, and the machine
    is as ``healths`` says, one measurement after another, the last one for all that follow."""

    def __init__(
        self,
        speed: Speed,
        *,
        profile: Profile | None = None,
        half_width: float = 0.01,
        baseline_ms: float = 1.0,
        healths: Sequence[str] = ("healthy",),
    ) -> None:
        self.profile = profile or find_device("local-cpu")
        self._speed, self._half_width, self._baseline_ms = speed, half_width, baseline_ms
        self._healths = healths
        self.requests: list[LatencyRequest] = []

    @property
    def asked(self) -> list[Path]:
        return [request.candidate for request in self.requests]

    def measure(self, request: LatencyRequest) -> Measurement:
        self.requests.append(request)
        ratio = self._speed(request.candidate)
        return Measurement(
            profile_digest=self.profile.digest,
            runtime=request.runtime or self.profile.runtime,
            runtime_version=self.profile.runtime_version,
            baseline_ms=((self._baseline_ms,) * 5,) * 20,
            candidate_ms=((self._baseline_ms / ratio,) * 5,) * 20,
            sessions=tuple(number // 5 for number in range(20)),
            ratio=ratio,
            ratio_ci95=(ratio * (1 - self._half_width), ratio * (1 + self._half_width)),
            verdict="stable",
            health=Health(self._healths[min(len(self.requests), len(self._healths)) - 1], {}, (), ()),
        )

    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        return model.stat().st_size

    def close(self) -> None:
        pass
