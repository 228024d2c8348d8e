"""A device whose answers take declared time, on a clock that stands still otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.tensors import Arrays
from evaluators.testing.fake_device import FakeDevice, Speed
from hwprofiles.errors import StageTimeout


class FakeClock:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


class SlowDevice(FakeDevice):
    """A measurement takes ``seconds`` of the file, or until its limit; memory takes ``memory_s``."""

    def __init__(
        self, speed: Speed, clock: FakeClock, seconds: Callable[[Path], float], *, memory_s: float = 0.0
    ) -> None:
        super().__init__(speed)
        self._clock, self._seconds, self._memory_s = clock, seconds, memory_s

    def measure(self, request: LatencyRequest) -> Measurement:
        self._pass(self._seconds(request.candidate), request.limit_s)
        return super().measure(request)

    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        self._pass(self._memory_s, limit_s)
        return super().peak_memory_bytes(model, sample, limit_s=limit_s, runtime=runtime)

    def _pass(self, seconds: float, limit_s: float) -> None:
        self._clock.spend(min(seconds, limit_s))
        if seconds > limit_s:
            raise StageTimeout(f"measuring: took longer than {limit_s:g} s", "raise limits.measuring_s")
