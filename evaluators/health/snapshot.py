"""What a machine's counters say at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CoreTimes:
    """Seconds since the machine's start in which a core worked (for whomever), and in which a hypervisor gave it to
    another machine."""

    busy_s: float
    stolen_s: float


@dataclass(frozen=True)
class ThreadTimes:
    """Seconds that a thread was ready to run but waited for a core (None where the kernel does not count them), and how
    often it was taken off one."""

    waited_s: float | None
    preemptions: int | None


@dataclass(frozen=True)
class Snapshot:
    """Counters, not rates; None and what is missing stand for what the machine does not expose.

    ``own_s`` is the processor time of the measuring process with all its threads and children, those that ended too
    (children only then). ``quota_s`` is
    how long its control group was held back. ``clocks_mhz`` and ``throttles`` are of the measured cores. ``cooling`` is
    the deepest state of the processor's cooling devices, 0 while none acts.
    """

    at_s: float
    cores: Mapping[int, CoreTimes] = field(default_factory=dict)
    own_s: float | None = None
    threads: Mapping[int, ThreadTimes] = field(default_factory=dict)
    quota_s: float | None = None
    clocks_mhz: tuple[float, ...] = ()
    throttles: int | None = None
    cooling: int | None = None
    temperature_c: float | None = None
    load_1m: float | None = None
