"""Measures paired latency: candidate and baseline in alternating blocks and fresh sessions, until it is precise.

A latency measured alone is useless on a shared machine: one model took 9 to 29 ms within a minute. Two models timed in
turn are slowed down alike, and their ratio is stable.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from evaluators.measuring.measurement import Measurement, pair_ratio
from evaluators.measuring.order import BASELINE, CANDIDATE, Order
from evaluators.measuring.padding import Padding
from evaluators.measuring.pairs import relative_half_width
from evaluators.measuring.stopping import Limits, Stopping
from evaluators.runtimes.base import Session
from evaluators.tensors import Arrays

Open = Callable[[], Session]

SETTLE_MS = 4.0
"""Longer than idle threads of ONNX Runtime spin (:data:`evaluators.runtimes.onnxruntime.SPIN_US`)."""

GPU_WARM_UP_S = 0.3
"""Time in which an idle GPU raises its clocks."""


@dataclass(frozen=True)
class Protocol:
    """How long and how often a paired latency is measured.

    A *block* is a few timed inferences of one model after an untimed one. A *session pair* is both models opened anew,
    warmed up, and timed for some blocks each, in random order. Session pairs follow one another until :class:`Stopping`
    ends the measurement.
    """

    runs: int = 5
    """Timed inferences of a block."""
    block_ms: float = 60.0
    """Slow models get fewer runs (at least two), so that a block does not exceed this."""
    blocks: int = 4
    """Blocks of each model in a session pair."""
    min_pairs: int = 8
    """Fewest session pairs. This and the values down to ``patience_s`` are explained in :class:`Limits`."""
    few_pairs: int = 3
    min_s: float = 1.0
    aim_s: float = 3.0
    max_s: float = 20.0
    aim_width: float = 0.01
    half_width: float = 0.02
    usable_width: float = 0.1
    patience_s: float = 60.0
    samples: int = 0
    """Timed inferences of each model that a percentile needs: blocks become longer, unless that exceeds
    ``patience_s``."""
    settle_ms: float = 0.0
    """Shortest time of the untimed inferences before a block, in which the other model's threads fall asleep."""
    warm_up_s: float = 0.0
    """Shortest warm-up of a session."""
    warm_up_runs: int = 3
    """Fewest inferences of a warm-up."""
    warm_up_max_runs: int = 30
    """Most inferences of a warm-up, once ``warm_up_s`` has passed."""
    attempts: int = 3
    """Attempts in all while the machine is not healthy."""
    drift: bool = True
    """Whether a drifted baseline or a speed-up that changes meanwhile counts as not healthy."""
    energy_s: float = 0.5
    """How long each model then runs, twice, to measure its energy; 0 for no energy."""

    @property
    def limits(self) -> Limits:
        """The limits for :class:`Stopping`."""
        return Limits(**{field.name: getattr(self, field.name) for field in fields(Limits)})

    def runs_of(self, slowest_ms: float) -> int:
        """Timed inferences of a block if the slower model takes ``slowest_ms``."""
        usual = min(self.runs, max(2, math.ceil(self.block_ms / max(slowest_ms, 1e-6))))
        return max(usual, math.ceil(self.samples / (self.min_pairs * self.blocks))) if self.fits(slowest_ms) else usual

    def fits(self, slowest_ms: float) -> bool:
        """Returns whether ``samples`` inferences fit into ``patience_s`` if the slower model takes ``slowest_ms``."""
        return 2 * self.samples * slowest_ms / 1000 <= self.patience_s

    def on(self, *, threads: int, gpu: bool) -> Protocol:
        """Returns the protocol for a device with so many threads, and with or without a GPU.

        With several threads, the ones of the model timed before may still spin. An idle GPU takes tenths of a second to
        raise its clocks, however few inferences that are.
        """
        return replace(
            self,
            settle_ms=max(self.settle_ms, SETTLE_MS if threads > 1 else 0.0),
            warm_up_s=max(self.warm_up_s, GPU_WARM_UP_S if gpu else 0.0),
        )

    def quick(self) -> Protocol:
        """Returns the protocol for single layers: fewer pairs, a wider interval, a result in any case, no energy.

        Drift is ignored: latencies of microseconds drift more than a model's, but paired ratios do not.
        """
        return Protocol(
            min_pairs=4, min_s=0.1, aim_s=0.5, max_s=2.0, aim_width=0.02, half_width=0.05, usable_width=math.inf,
            attempts=2, drift=False, energy_s=0.0,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class LatencyRequest:
    """One paired latency measurement: a candidate against its baseline on one sample.

    >>> LatencyRequest(Path("fp32.onnx"), Path("int8.onnx"), {}, Protocol(), limit_s=60.0).candidate.name
    'int8.onnx'
    """

    baseline: Path
    """Executed in the first runtime of the device's profile."""
    candidate: Path
    """Executed in ``runtime``."""
    sample: Arrays
    """The input of one inference of either file: a batch of the profile's size."""
    protocol: Protocol
    """How long and how often to measure."""
    limit_s: float
    """Time limit in seconds, over all attempts."""
    runtime: str | None = None
    """``name`` or ``name:hint``; None for the first runtime of the profile."""


def measure_pair(
    open_baseline: Open,
    open_candidate: Open,
    feed: Arrays,
    *,
    profile_digest: str,
    runtime: str,
    runtime_version: str,
    protocol: Protocol = Protocol(),
    marks: tuple[str, ...] = (),
    seed: int = 0,
    look: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Measurement:
    """Times a candidate against the baseline on one feed, for seconds to a minute (``protocol``).

    Calls ``look`` at the end of each session pair, while its sessions are open. ``seed`` determines the order in which
    models are opened and timed. Warm-up is not counted. An interval wider than ``half_width`` makes the measurement
    ``unstable`` but usable. Raises :class:`UnhealthyMeasurement` if it is still wider than ``usable_width`` at
    ``patience_s``, or at ``max_s`` if more time would not help.
    """
    start = clock()
    baseline_ms: list[tuple[float, ...]] = []
    candidate_ms: list[tuple[float, ...]] = []
    sessions: list[int] = []
    firsts: list[str] = []
    order, padding, stopping = Order(seed), Padding(seed), Stopping(protocol.limits)
    pair, runs, samples = 0, 0, 0
    while True:
        with open_pair(open_baseline, open_candidate, order, padding) as (ours, theirs):
            slowest_ms = max(_warm_up(ours, feed, protocol, clock), _warm_up(theirs, feed, protocol, clock))
            if not runs:
                runs = protocol.runs_of(slowest_ms)
                samples = protocol.samples if protocol.fits(slowest_ms) else 0
            for first in order.draw_first_to_time(protocol.blocks):
                timed = {
                    session: _block(session, feed, runs, protocol.settle_ms)
                    for session in ((ours, theirs) if first == BASELINE else (theirs, ours))
                }
                baseline_ms.append(timed[ours])
                candidate_ms.append(timed[theirs])
                sessions.append(pair)
                firsts.append(first)
            look()
        pair += 1
        elapsed = clock() - start
        if (runs * len(sessions) < samples and elapsed < protocol.patience_s) or not stopping.looks(pair, elapsed):
            continue
        ratio, interval = pair_ratio(baseline_ms, candidate_ms, sessions)
        if stopping.ends("speed-up", ratio, interval, pair, elapsed):
            break
    return Measurement(
        profile_digest=profile_digest,
        runtime=runtime,
        runtime_version=runtime_version,
        baseline_ms=tuple(baseline_ms),
        candidate_ms=tuple(candidate_ms),
        sessions=tuple(sessions),
        ratio=ratio,
        ratio_ci95=interval,
        moment_ci95=interval,
        verdict="stable" if relative_half_width(ratio, interval) <= protocol.half_width else "unstable",
        marks=marks,
        order="".join(firsts),
    )


@contextmanager
def open_pair(
    open_baseline: Open, open_candidate: Open, order: Order, padding: Padding
) -> Iterator[tuple[Session, Session]]:
    """Opens both models anew, in random order and at other addresses than the last time; closes them at the end."""
    openers = {BASELINE: open_baseline, CANDIDATE: open_candidate}
    first = order.draw_first_to_open()
    with ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for name in sorted(openers, key=lambda name: name != first):
            padded = padding.take()
            stack.callback(padded[1].close)
            sessions[name] = openers[name]()
            stack.callback(sessions[name].close)
        yield sessions[BASELINE], sessions[CANDIDATE]


def _block(session: Session, feed: Arrays, runs: int, settle_ms: float) -> tuple[float, ...]:
    """Times a block. Its first inference is not counted: caches still hold the other model's weights."""
    settled_ms = session.time_ms(feed)
    while settled_ms < settle_ms:
        settled_ms += session.time_ms(feed)
    return tuple(session.time_ms(feed) for _ in range(runs))


def _warm_up(session: Session, feed: Arrays, protocol: Protocol, clock: Callable[[], float]) -> float:
    """Runs for ``warm_up_s``, and until an inference is at most 2 % faster than the fastest; returns that in ms."""
    ends_at = clock() + protocol.warm_up_s
    fastest_ms = min(session.time_ms(feed) for _ in range(protocol.warm_up_runs))
    runs = protocol.warm_up_runs
    while (early := clock() < ends_at) or runs < protocol.warm_up_max_runs:
        now_ms = session.time_ms(feed)
        runs += 1
        if now_ms >= 0.98 * fastest_ms and not early:
            break
        fastest_ms = min(fastest_ms, now_ms)
    return fastest_ms
