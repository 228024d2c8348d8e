"""Measures paired throughput: samples per second under several concurrent streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evaluators.health import Health
from evaluators.measuring.latency import GPU_WARM_UP_S, Open, open_pair
from evaluators.measuring.order import BASELINE, CANDIDATE, Order
from evaluators.measuring.padding import Padding
from evaluators.measuring.pairs import ratio_interval
from evaluators.measuring.statistics import median_interval
from evaluators.measuring.stopping import Limits, Stopping
from evaluators.runtimes.base import Session
from evaluators.tensors import Arrays

_FEWEST_RUNS = 3


@dataclass(frozen=True)
class Load:
    """How a paired throughput is measured.

    In a *window* a model is kept busy by all streams. A *session pair* is both models opened anew, warmed up, and
    loaded for some windows each, in random order. Session pairs follow one another until :class:`Stopping` ends the
    measurement.
    """

    streams: int = 0
    """Concurrent inferences, which share the profile's threads; 0 for one per thread."""
    window_s: float = 0.25
    """Length of a window, in which each stream makes at least three inferences."""
    windows: int = 2
    """Windows of each model in a session pair."""
    min_pairs: int = 5
    """Fewest session pairs."""
    max_s: float = 30.0
    """Until then only an interval within ``half_width`` ends the measurement."""
    half_width: float = 0.02
    """Half width of the ratio's interval to aim for, as a share of the ratio."""
    usable_width: float = 0.1
    """Largest usable half width."""
    patience_s: float = 60.0
    """Longest duration, if the interval is not usable before."""
    warm_up_s: float = 0.125
    """Warm-up of each model in a session pair."""
    attempts: int = 2
    """Attempts in all while the machine is not healthy."""

    @property
    def limits(self) -> Limits:
        """The limits for :class:`Stopping`."""
        return Limits(
            min_pairs=self.min_pairs, few_pairs=self.min_pairs, min_s=0.0, aim_s=0.0, max_s=self.max_s,
            patience_s=self.patience_s, aim_width=self.half_width, half_width=self.half_width,
            usable_width=self.usable_width,
        )  # fmt: skip

    def on(self, *, gpu: bool) -> Load:
        """Returns the load for a device with or without a GPU: a GPU takes tenths of a second to raise its clocks."""
        return replace(self, warm_up_s=max(self.warm_up_s, GPU_WARM_UP_S if gpu else 0.0))

    def split(self, threads: int) -> tuple[int, int]:
        """Returns the number of streams, and the threads that each may use.

        >>> Load(streams=2).split(4)
        (2, 2)
        """
        streams = self.streams or threads
        return streams, max(1, threads // streams)


@dataclass(frozen=True)
class Throughput:
    """A paired measurement of throughput."""

    baseline_per_s: tuple[float, ...]
    """Samples per second in each window."""
    candidate_per_s: tuple[float, ...]
    """Samples per second in each window."""
    sessions: tuple[int, ...]
    """The number of each window's session pair."""
    streams: int
    batch: int
    """Samples in one inference."""
    ratio: float
    """The candidate's throughput over the baseline's, paired by window: above 1, the candidate is faster."""
    ratio_ci95: tuple[float, float]
    """95 % interval of ``ratio``."""
    health: Health | None = None
    """As in :class:`evaluators.measuring.measurement.Measurement`, and so is ``quarantined``."""
    quarantined: tuple[dict[str, Any], ...] = ()

    def metrics(self) -> dict[str, Any]:
        """Returns the candidate's metric ``throughput``; its main figure is ``ratio`` with its ``ci95``."""
        return {
            "throughput": {
                "ratio": self.ratio,
                "ci95": list(self.ratio_ci95),
                "per_s": float(np.median(self.candidate_per_s)),
                "per_s_ci95": list(median_interval(np.array(self.candidate_per_s), np.array(self.sessions))),
                "baseline_per_s": float(np.median(self.baseline_per_s)),
                "streams": self.streams,
                "batch": self.batch,
                "n": len(self.candidate_per_s),
                "health": "unknown" if self.health is None else self.health.verdict,
            }
        }


def measure_load(
    open_baseline: Open,
    open_candidate: Open,
    feed: Arrays,
    *,
    load: Load,
    streams: int,
    batch: int,
    seed: int = 0,
    look: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Throughput:
    """Measures both models in turn under ``streams`` concurrent streams of inferences of ``batch`` samples each.

    Takes up to a minute (``load``). Calls ``look`` at the end of each session pair; ``seed`` determines the order.
    Raises :class:`UnhealthyMeasurement` if the interval is still wider than ``usable_width`` at the time limit.
    """
    start, pair = clock(), 0
    order, padding, stopping = Order(seed), Padding(seed), Stopping(load.limits)
    per_s: dict[str, list[float]] = {BASELINE: [], CANDIDATE: []}
    sessions: list[int] = []
    with ThreadPoolExecutor(streams) as pool:
        while True:
            with open_pair(open_baseline, open_candidate, order, padding) as (ours, theirs):
                models = {BASELINE: ours, CANDIDATE: theirs}
                for session in models.values():
                    _window(pool, session, feed, streams, load.warm_up_s, clock)
                for first in order.draw_first_to_time(load.windows):
                    for name in sorted(models, key=lambda name: name != first):
                        runs_per_s = _window(pool, models[name], feed, streams, load.window_s, clock)
                        per_s[name].append(runs_per_s * batch)
                    sessions.append(pair)
                look()
            pair += 1
            elapsed = clock() - start
            if not stopping.looks(pair, elapsed):
                continue
            logs = np.log(per_s[CANDIDATE]) - np.log(per_s[BASELINE])
            ratio, interval = ratio_interval(logs.reshape(pair, load.windows).mean(axis=1))
            if stopping.ends("throughput", ratio, interval, pair, elapsed):
                break
    return Throughput(tuple(per_s[BASELINE]), tuple(per_s[CANDIDATE]), tuple(sessions), streams, batch, ratio, interval)


def _window(
    pool: Executor, session: Session, feed: Arrays, streams: int, window_s: float, clock: Callable[[], float]
) -> float:
    """Inferences per second of all streams together; each counts whole inferences over its own time."""

    def stream() -> float:
        start, runs = clock(), 0
        while clock() - start < window_s or runs < _FEWEST_RUNS:
            session.run(feed)
            runs += 1
        return runs / (clock() - start)

    return sum(future.result() for future in [pool.submit(stream) for _ in range(streams)])
