"""Paired latency: candidate against baseline in alternating blocks and fresh sessions, until the interval is narrow.

A number measured alone is useless on a shared machine: one model was seen at 9 to 29 ms within a minute. Two models
timed in turn share the machine's mood, and their ratio keeps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace

from evaluators.measuring.measurement import Measurement, pair_ratio
from evaluators.measuring.order import BASELINE, CANDIDATE, Order
from evaluators.measuring.padding import Padding
from evaluators.measuring.stopping import Limits, Stopping
from evaluators.runtimes.base import Session
from evaluators.tensors import Arrays
from hwprofiles.errors import UnhealthyMeasurement

Open = Callable[[], Session]

SETTLE_MS = 4.0
"""More than the threads of ONNX Runtime spin (:data:`evaluators.runtimes.onnxruntime.SPIN_US`)."""

GPU_WARM_UP_S = 0.3


@dataclass(frozen=True)
class Protocol:
    """How long and how often.

    A *block* is up to ``runs`` timed inferences of one model after one untimed, fewer (at least two) where one takes so
    long that they would pass ``block_ms``; a *session pair* is both models opened anew,
    warmed up, and timed for ``blocks`` blocks each, in an order drawn at random. Pairs follow one another until
    :class:`Stopping` says so, which explains the limits from ``min_pairs`` to ``usable_width``. ``samples`` is how many
    timed inferences of each model a percentile needs: blocks become longer for them, and there are that many unless
    they would take more than ``patience_s``. Before a block's timed inferences, untimed ones fill at least
    ``settle_ms``, in which the other model's threads go to sleep; warm-up takes at least ``warm_up_s`` for each
    session. A measurement on a
    machine that was not healthy is made up to ``attempts`` times in all. ``drift`` says whether a baseline that takes
    another time than lately, or a ratio that moves meanwhile, makes it so. Where the device counts energy, each model
    then runs for ``energy_s`` on its own, twice.
    """

    runs: int = 5
    block_ms: float = 60.0
    blocks: int = 4
    min_pairs: int = 8
    few_pairs: int = 3
    min_s: float = 1.0
    aim_s: float = 3.0
    max_s: float = 20.0
    aim_width: float = 0.01
    half_width: float = 0.02
    usable_width: float = 0.1
    patience_s: float = 60.0
    samples: int = 0
    settle_ms: float = 0.0
    warm_up_s: float = 0.0
    warm_up_runs: int = 3
    warm_up_max_runs: int = 30
    attempts: int = 3
    drift: bool = True
    energy_s: float = 0.5

    @property
    def limits(self) -> Limits:
        """When to stop."""
        return Limits(**{field.name: getattr(self, field.name) for field in fields(Limits)})

    def runs_of(self, slowest_ms: float) -> int:
        """Timed inferences in a block of models of which the slower takes ``slowest_ms``."""
        usual = min(self.runs, max(2, math.ceil(self.block_ms / max(slowest_ms, 1e-6))))
        return max(usual, math.ceil(self.samples / (self.min_pairs * self.blocks))) if self.fits(slowest_ms) else usual

    def fits(self, slowest_ms: float) -> bool:
        """Whether ``samples`` inferences of models of which the slower takes ``slowest_ms`` can be had in time."""
        return 2 * self.samples * slowest_ms / 1000 <= self.patience_s

    def on(self, *, threads: int, gpu: bool) -> Protocol:
        """For a device of so many threads: of several, those of the model that was timed before may still spin. A GPU
        that idled raises its clocks over tenths of seconds, however few inferences it takes."""
        return replace(
            self,
            settle_ms=max(self.settle_ms, SETTLE_MS if threads > 1 else 0.0),
            warm_up_s=max(self.warm_up_s, GPU_WARM_UP_S if gpu else 0.0),
        )

    def quick(self) -> Protocol:
        """For questions about single layers: fewer pairs, a wider interval, an answer in any case, no energy. Their
        microseconds drift more than a model's time does, which a paired ratio does not mind."""
        return Protocol(
            min_pairs=4, min_s=0.1, aim_s=0.5, max_s=2.0, aim_width=0.02, half_width=0.05, usable_width=math.inf,
            attempts=2, drift=False, energy_s=0.0,
        )  # fmt: skip


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
    """Times a candidate against the baseline on one feed, and calls ``look`` at the end of each session pair, while its
    sessions are still open. ``seed`` decides the order in which they are opened and timed.

    Raises :class:`UnhealthyMeasurement` when the interval is still wider than ``usable_width`` at ``patience_s``, or at
    ``max_s`` where it would be; wider than ``half_width`` it is ``unstable`` but usable. Warm-up is never averaged in.
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
        half_width = (interval[1] - interval[0]) / 2 / ratio
        if stopping.over(half_width, elapsed):
            break
        if stopping.hopeless(half_width, pair, elapsed):
            raise UnhealthyMeasurement(
                f"the speed-up's interval is still ±{half_width:.1%} wide after {elapsed:.0f} s",
                "quieten the machine and measure again",
            )
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
        verdict="stable" if half_width <= protocol.half_width else "unstable",
        marks=marks,
        order="".join(firsts),
    )


@contextmanager
def open_pair(
    open_baseline: Open, open_candidate: Open, order: Order, padding: Padding
) -> Iterator[tuple[Session, Session]]:
    """Both models opened anew, in the order drawn and at other places in memory than the last time."""
    openers = {BASELINE: open_baseline, CANDIDATE: open_candidate}
    first = order.draw_first_to_open()
    with ExitStack() as stack:
        found: dict[str, Session] = {}
        for name in (first, *(other for other in openers if other != first)):
            held = padding.take()
            stack.callback(held[1].close)
            found[name] = openers[name]()
            stack.callback(found[name].close)
        yield found[BASELINE], found[CANDIDATE]


def _block(session: Session, feed: Arrays, runs: int, settle_ms: float) -> tuple[float, ...]:
    """The first inference finds the caches full of the other model's weights, and is never timed."""
    settled_ms = session.time_ms(feed)
    while settled_ms < settle_ms:
        settled_ms += session.time_ms(feed)
    return tuple(session.time_ms(feed) for _ in range(runs))


def _warm_up(session: Session, feed: Arrays, protocol: Protocol, clock: Callable[[], float]) -> float:
    """Runs for ``warm_up_s`` and until one is no faster than the fastest before it by more than 2 %; returns the
    fastest, in milliseconds."""
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
