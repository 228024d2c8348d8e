"""Watches a machine through one measurement."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from statistics import median

from evaluators.health.counters import Counters
from evaluators.health.gpu import GpuCounters
from evaluators.health.snapshot import CoreTimes, Snapshot
from evaluators.health.verdict import TOLERANCE, Health, Tolerance

SIGNALS = (
    "others_share", "wait_share", "preemptions_per_s", "siblings_share", "elsewhere_share", "steal_share",
    "quota_share", "throttles", "cooling", "clock_mhz", "clock_drop_share", "below_base_share", "temperature_c",
    "load_1m", "drift_share", "shift_share", "gpu_clock_mhz", "gpu_clock_drop_share", "gpu_temperature_c", "gpu_slowed",
    "gpu_others",
)  # fmt: skip
"""All signals; the ones that a machine does not expose are listed as unknown."""

SHORTEST_S = 0.4
"""Shortest time that shares are computed for: the kernel counts processor time in hundredths of seconds."""

_SLACK_TICKS = 2
"""Ticks per core by which two counts of the same time may differ."""

_LEAST_SEEN = 0.8
"""Share of our own processor time that the cores' counters must show. Kernels that count by ticks miss some work in
short bursts."""

_TWO_THREADS = {"siblings_share"}
_MORE_CORES = {"elsewhere_share"}


class Watch:
    """Reads the machine's counters at its creation and at each :meth:`look`; owned by the measuring process.

    ``cores`` are the cores that the process may run on. A look takes a fraction of a millisecond and belongs between
    timed inferences, best right after one and while sessions are open: then clocks are those under load, and the wait
    times of the sessions' threads still exist.
    """

    def __init__(
        self,
        cores: tuple[int, ...],
        counters: Counters | None = None,
        *,
        threads: int = 1,
        gpu: GpuCounters | None = None,
    ) -> None:
        self._machine, self._gpu = counters or Counters(), gpu
        self._threads = threads
        first = self._machine.snapshot(cores)
        self._cores = tuple(core for core in cores if core in first.cores) or tuple(first.cores)
        siblings = self._machine.siblings(self._cores)
        self._siblings = tuple(core for core in siblings if core in first.cores)
        self._base_mhz = self._machine.base_clock_mhz(self._cores)
        self._first = self._last = first
        self._waited_s: float | None = None
        self._preemptions: float | None = None
        self._clocks_mhz: list[float] = []
        self._hottest_c: float | None = None
        self._cooling: float | None = None
        self._gpu_clocks_mhz: list[float] = []
        self._gpu_hottest_c: float | None = None
        self._gpu_slowed: float | None = None
        self._gpu_others: float | None = None

    def look(self) -> None:
        """Adds everything since the last look."""
        now = self._machine.snapshot(self._cores)
        for thread, times in now.threads.items():
            before = self._last.threads.get(thread)
            if times.waited_s is not None:
                since = before.waited_s if before and before.waited_s is not None else 0.0
                self._waited_s = (self._waited_s or 0.0) + max(0.0, times.waited_s - since)
            if times.preemptions is not None:
                already = before.preemptions if before and before.preemptions is not None else 0
                self._preemptions = (self._preemptions or 0.0) + max(0, times.preemptions - already)
        if now.clocks_mhz:
            self._clocks_mhz.append(median(now.clocks_mhz))
        self._hottest_c = _larger(self._hottest_c, now.temperature_c)
        self._cooling = _larger(self._cooling, now.cooling)
        if self._gpu is not None:
            state = self._gpu.state()
            if state.clock_mhz:
                self._gpu_clocks_mhz.append(state.clock_mhz)
            self._gpu_hottest_c = _larger(self._gpu_hottest_c, state.temperature_c)
            self._gpu_slowed = _larger(self._gpu_slowed, state.slowed)
            self._gpu_others = _larger(self._gpu_others, state.other_processes)
        self._last = now

    def health(
        self, *, drift_share: float | None = None, shift_share: float | None = None, tolerance: Tolerance = TOLERANCE
    ) -> Health:
        """Judges all looks together.

        ``drift_share`` is by which share the baseline was slower than recently, ``shift_share`` by which share the
        speed-up changed during the measurement.
        """
        signals = {name: round(value, 6) for name, value in self._signals().items() if value is not None}
        if drift_share is not None:
            signals["drift_share"] = round(drift_share, 6)
        if shift_share is not None:
            signals["shift_share"] = round(shift_share, 6)
        unknown = tuple(name for name in SIGNALS if name not in signals and self._applies(name))
        return tolerance.judge(signals, unknown, threads=self._threads)

    def _applies(self, name: str) -> bool:
        """Returns whether a signal exists for this measurement: not without sibling threads, further cores or a GPU."""
        if name.startswith("gpu_"):
            return self._gpu is not None
        if not self._first.cores:
            return True
        if name in _TWO_THREADS:
            return bool(self._siblings)
        return name not in _MORE_CORES or bool(self._elsewhere)

    @property
    def _elsewhere(self) -> tuple[int, ...]:
        return tuple(core for core in self._first.cores if core not in {*self._cores, *self._siblings})

    def _signals(self) -> dict[str, float | None]:
        first, last = self._first, self._last
        elapsed_s = last.at_s - first.at_s
        if elapsed_s <= 0:
            return {}
        counted = elapsed_s >= SHORTEST_S
        width = max(1, len(self._cores))
        signals: dict[str, float | None] = {
            "wait_share": None if self._waited_s is None else self._waited_s / elapsed_s / width,
            "preemptions_per_s": None if self._preemptions is None else self._preemptions / elapsed_s,
            "throttles": _difference(first.throttles, last.throttles),
            "cooling": self._cooling,
            "temperature_c": self._hottest_c,
            "load_1m": last.load_1m,
        }
        if counted and self._counts(first, last, elapsed_s):
            signals |= {
                "others_share": self._others_share(first, last, elapsed_s),
                "siblings_share": _share(_BUSY, first, last, self._siblings, elapsed_s),
                "elsewhere_share": _share(_BUSY, first, last, self._elsewhere, elapsed_s),
                "steal_share": _share(_STOLEN, first, last, self._cores, elapsed_s),
            }
        throttled_s = _difference(first.quota_s, last.quota_s)
        signals["quota_share"] = None if throttled_s is None else throttled_s / elapsed_s
        return signals | self._clock() | self._gpu_signals()

    def _counts(self, first: Snapshot, last: Snapshot, elapsed_s: float) -> bool:
        """Returns whether the cores' counters are plausible: they must show at least this process's own work.

        In some sandboxes they do not change.
        """
        own_s = _difference(first.own_s, last.own_s)
        busy = _share(_BUSY, first, last, self._cores, elapsed_s)
        if own_s is None or busy is None:
            return True  # nothing to compare with; others_share is unknown anyway
        slack_s = _SLACK_TICKS / self._machine.ticks * len(self._cores)
        return busy * elapsed_s * len(self._cores) >= _LEAST_SEEN * own_s - slack_s

    def _others_share(self, first: Snapshot, last: Snapshot, elapsed_s: float) -> float | None:
        """Returns the share of the measured cores' time that other processes used."""
        own_s = _difference(first.own_s, last.own_s)
        busy = _share(_BUSY, first, last, self._cores, elapsed_s)
        if own_s is None or busy is None:
            return None
        width = len(self._cores)
        slack_s = _SLACK_TICKS / self._machine.ticks
        return max(0.0, busy - (own_s / width + slack_s) / elapsed_s)

    def _clock(self) -> dict[str, float | None]:
        clocks = self._clocks_mhz
        if not clocks:
            return {}
        signals: dict[str, float | None] = {"clock_mhz": median(clocks)}
        if self._base_mhz:
            signals["below_base_share"] = max(0.0, 1 - median(clocks) / self._base_mhz)
        signals["clock_drop_share"] = _drop(clocks)
        return signals

    def _gpu_signals(self) -> dict[str, float | None]:
        clocks = self._gpu_clocks_mhz
        return {
            "gpu_clock_mhz": median(clocks) if clocks else None,
            "gpu_clock_drop_share": _drop(clocks),
            "gpu_temperature_c": self._gpu_hottest_c,
            "gpu_slowed": self._gpu_slowed,
            "gpu_others": self._gpu_others,
        }


def _drop(clocks: list[float]) -> float | None:
    """By which share the last third of the clocks lies below the first third."""
    if len(clocks) < 2:
        return None
    third = max(1, len(clocks) // 3)
    return max(0.0, 1 - median(clocks[-third:]) / median(clocks[:third]))


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)


def _larger(first: float | None, second: float | None) -> float | None:
    return max((value for value in (first, second) if value is not None), default=None)


def _share(
    of: Callable[[CoreTimes], float], first: Snapshot, last: Snapshot, cores: tuple[int, ...], elapsed_s: float
) -> float | None:
    """Returns the share of the cores' time that ``of`` selects; None without cores. Cores taken offline do not
    count."""
    online = [core for core in cores if core in first.cores and core in last.cores]
    spent_s = sum(of(last.cores[core]) - of(first.cores[core]) for core in online)
    return max(0.0, spent_s / elapsed_s / len(online)) if online else None


_BUSY, _STOLEN = attrgetter("busy_s"), attrgetter("stolen_s")
