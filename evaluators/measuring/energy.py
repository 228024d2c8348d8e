"""Measures the energy of an inference with a device's energy counter."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from evaluators.health import GpuCounters
from evaluators.health.files import entries_by_number, number
from evaluators.measuring.latency import Open, open_pair
from evaluators.measuring.order import Order
from evaluators.measuring.padding import Padding
from evaluators.runtimes.base import Runtime, Session
from evaluators.tensors import Arrays
from hwprofiles import Profile
from hwprofiles.cuda import cuda_bus_id
from hwprofiles.sysfs import ROOT, text_at

_PAIRS = 2
_FEWEST_RUNS = 3


class Meter(ABC):
    """An energy counter of a whole processor package or GPU, with everything that runs there; it only grows."""

    source: str
    """The counter's name in results."""

    @abstractmethod
    def read_mj(self) -> float | None:
        """Millijoules since some time before the first reading; None if it cannot be read.

        Must be read at least every few minutes.
        """


class Rapl(Meter):
    """The processor packages' counters (running average power limit) in Linux' powercap.

    Accurate to a few percent over 100 ms and more (Khan et al., RAPL in Action, ACM TOMPECS 2018).
    """

    source = "rapl"

    def __init__(self, domains: list[tuple[Path, float]]) -> None:
        self._domains = domains
        self._last_uj = [number(path) for path, _ in domains]
        self._total_uj = 0.0

    @classmethod
    def find(cls, root: Path = ROOT) -> Rapl | None:
        """Finds the packages below ``root``/sys; None if there are none or only the administrator may read them."""
        domains = []
        for folder in entries_by_number(root / "sys/class/powercap", "intel-rapl:"):
            counter = folder / "energy_uj"
            if (text_at(folder / "name") or "").startswith("package") and number(counter) is not None:
                domains.append((counter, number(folder / "max_energy_range_uj") or 0.0))
        return cls(domains) if domains else None

    def read_mj(self) -> float | None:
        """See :meth:`Meter.read_mj`. Handles counters that overflow."""
        for index, (path, range_uj) in enumerate(self._domains):
            now, before = number(path), self._last_uj[index]
            if now is None or before is None:
                return None
            self._total_uj += now - before if now >= before else max(0.0, now - before + range_uj)
            self._last_uj[index] = now
        return self._total_uj / 1000


class Nvml(Meter):
    """A GPU's counter, read with NVML."""

    source = "nvml"

    def __init__(self, gpu: GpuCounters) -> None:
        self._gpu = gpu

    @classmethod
    def find(cls, bus_id: str | None, nvml: Any = None) -> Nvml | None:
        """Finds the counter of the GPU at a PCI bus id; None if it has none."""
        gpu = GpuCounters(bus_id, nvml)
        return None if gpu.energy_mj() is None else cls(gpu)

    def read_mj(self) -> float | None:
        """See :meth:`Meter.read_mj`."""
        return self._gpu.energy_mj()


def find_meter(profile: Profile, runtimes: Collection[Runtime], root: Path = ROOT) -> Meter | None:
    """Finds the counter of the processor or GPU that all ``runtimes`` compute on.

    None if no counter is readable, or if some compute on the GPU and some on the processor.
    """
    on_gpu = {runtime.on_gpu for runtime in runtimes}
    if on_gpu == {False}:
        return Rapl.find(root)
    return Nvml.find(cuda_bus_id()) if on_gpu == {True} and profile.gpu is not None else None


def measure_energy(
    open_baseline: Open,
    open_candidate: Open,
    feed: Arrays,
    meter: Meter,
    *,
    window_s: float,
    look: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any] | None:
    """Measures the energy of one inference: ``baseline`` and ``candidate`` in millijoules, and ``source``.

    Includes everything that the counter counts meanwhile. The models take turns: each runs twice for ``window_s``, and
    at least for three inferences. ``source`` names the counter; ``look`` is called at the end of each window. None if a
    reading failed.
    """
    used_mj, runs = {"baseline": 0.0, "candidate": 0.0}, {"baseline": 0, "candidate": 0}
    opening, padding = Order(0), Padding(0)
    for pair in range(_PAIRS):
        with open_pair(open_baseline, open_candidate, opening, padding) as (ours, theirs):
            order: list[tuple[str, Session]] = [("baseline", ours), ("candidate", theirs)]
            for name, session in reversed(order) if pair % 2 else order:
                session.time_ms(feed)
                before_mj, start = meter.read_mj(), clock()
                count = 0
                while clock() - start < window_s or count < _FEWEST_RUNS:
                    session.time_ms(feed)
                    count += 1
                after_mj = meter.read_mj()
                look()
                if before_mj is None or after_mj is None:
                    return None
                used_mj[name] += after_mj - before_mj
                runs[name] += count
    return {**{name: used_mj[name] / runs[name] for name in used_mj}, "source": meter.source}
