"""A machine's counters at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CoreTimes:
    """Times of a core since the machine's start."""

    busy_s: float
    """Seconds in which it worked for any process."""
    stolen_s: float
    """Seconds in which the hypervisor gave it to another machine."""


@dataclass(frozen=True)
class ThreadTimes:
    """Counters of a thread; None if the kernel does not count them."""

    waited_s: float | None
    """Seconds in which it was ready to run but waited for a core."""
    preemptions: int | None
    """How often it was taken off a core."""


@dataclass(frozen=True)
class Snapshot:
    """Counters, not rates; None or missing if the machine does not expose them."""

    at_s: float
    """Time of the snapshot by the machine's monotonic clock."""
    cores: Mapping[int, CoreTimes] = field(default_factory=dict)
    own_s: float | None = None
    """Processor time of the measuring process, its threads, and its children that ended."""
    threads: Mapping[int, ThreadTimes] = field(default_factory=dict)
    quota_s: float | None = None
    """How long the control group's quota held the process back."""
    clocks_mhz: tuple[float, ...] = ()
    """Clocks of the measured cores."""
    throttles: int | None = None
    """Throttling events of the measured cores."""
    cooling: int | None = None
    """Deepest state of the processor's cooling devices; 0 while none is active."""
    temperature_c: float | None = None
    load_1m: float | None = None
