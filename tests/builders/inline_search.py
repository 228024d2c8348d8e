"""Searches without Ray: their trials one after another in this process, for tests that ask about anything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from evaluators.devices.device import Device, LocalDevice
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.measuring.measurement import Measurement
from search.controller.place import Place

ANY_INTERVAL = Protocol(min_pairs=3, min_s=0.0, max_s=0.0, half_width=math.inf, usable_width=math.inf, attempts=1)
"""A short measurement that is healthy however noisy the machine is."""


class InlineSandbox:
    """A sandbox whose calls happen here."""

    def __init__(self, **_: object) -> None:
        pass

    def call(self, function: Callable[..., Any], *args: Any, stage: str, limit_s: float) -> Any:
        return function(*args)

    def close(self) -> None:
        pass


def without_ray(monkeypatch: pytest.MonkeyPatch, *, prepare_here: bool = False) -> None:
    """From now on a controller in this process works on its trials itself, and with ``prepare_here`` on all else."""
    monkeypatch.setattr("search.controller.ray_cluster.local_cluster", _no_cluster)
    monkeypatch.setattr("search.controller.worker_pool.run_trials", run_trials)
    if prepare_here:
        monkeypatch.setattr("search.controller.preparing.Sandbox", InlineSandbox)


def with_device(monkeypatch: pytest.MonkeyPatch, device: Device) -> None:
    """From now on whatever this process measures is measured by ``device``, and built in this process."""
    for module in ("search.trials.preparation", "search.trials.trial"):
        monkeypatch.setattr(f"{module}.open_device", lambda *_: device)
    monkeypatch.setattr("search.trials.trial.Sandbox", InlineSandbox)


def with_devices(monkeypatch: pytest.MonkeyPatch, devices: Mapping[str, Device]) -> None:
    """As :func:`with_device`, of several that are told apart by their profiles' digests."""
    for module in ("search.trials.preparation", "search.trials.trial"):
        monkeypatch.setattr(f"{module}.open_device", lambda profile, *_: devices[profile.digest])
    monkeypatch.setattr("search.trials.trial.Sandbox", InlineSandbox)


def measuring_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this machine is asked for short measurements, which no noise makes unhealthy, and for one start."""
    measure = LocalDevice.measure
    monkeypatch.setattr("evaluators.devices.device.STARTS", 1)
    monkeypatch.setattr("search.export.remeasurement.PAUSE_S", 0.0)

    def brief(device: LocalDevice, request: LatencyRequest) -> Measurement:
        return measure(device, replace(request, protocol=ANY_INTERVAL))

    monkeypatch.setattr(LocalDevice, "measure", brief)


@contextmanager
def _no_cluster(parallel: int) -> Iterator[Place]:
    yield Place(lambda: parallel)


def run_trials(kind: Any, parameters: dict[str, Any], feed: Any, place: Place) -> None:
    """As :func:`search.controller.worker_pool.run_trials`; of the trials in work, the last one begun ends first."""
    worker = kind(**parameters)
    at_work: list[Any] = []
    try:
        while True:
            while (order := feed.next()) is not None:
                at_work.append(order)
            if feed.is_over:
                break
            order = at_work.pop()
            feed.take(order, worker.run(order))
    finally:
        worker.close()
