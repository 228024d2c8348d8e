"""Throughput: how much several streams at once get out of a device, beside the latency of one alone."""

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
from hwprofiles.errors import UnhealthyMeasurement

_FEWEST_RUNS = 3


@dataclass(frozen=True)
class Load:
    """How a model is kept busy.

    ``streams`` inferences are under way at any time (0: as many as the profile has threads, which they share). A
    *window* is ``window_s`` of that, and at least three inferences a stream; a session pair is both models opened anew
    and loaded, first for ``warm_up_s`` and then for ``windows`` windows each, in an order drawn at random. Pairs
    follow one another until there are ``min_pairs`` and the
    ratio's interval is within ``half_width`` of it, or ``max_s`` have passed; one that is then wider than
    ``usable_width`` has until ``patience_s``, as a latency has.
    """

    streams: int = 0
    window_s: float = 0.25
    windows: int = 2
    min_pairs: int = 5
    max_s: float = 30.0
    half_width: float = 0.02
    usable_width: float = 0.1
    patience_s: float = 60.0
    warm_up_s: float = 0.125
    attempts: int = 2

    @property
    def limits(self) -> Limits:
        """When to stop."""
        return Limits(
            min_pairs=self.min_pairs, few_pairs=self.min_pairs, min_s=0.0, aim_s=0.0, max_s=self.max_s,
            patience_s=self.patience_s, aim_width=self.half_width, half_width=self.half_width,
            usable_width=self.usable_width,
        )  # fmt: skip

    def on(self, *, gpu: bool) -> Load:
        """For a device with a GPU, which raises its clocks over tenths of seconds."""
        return replace(self, warm_up_s=max(self.warm_up_s, GPU_WARM_UP_S if gpu else 0.0))

    def split(self, threads: int) -> tuple[int, int]:
        """How many streams share a profile's ``threads``, and how many each may use.

        >>> Load(streams=2).split(4)
        (2, 2)
        """
        streams = self.streams or threads
        return streams, max(1, threads // streams)


@dataclass(frozen=True)
class Throughput:
    """Samples per second of baseline and candidate in every window, with the session pair that each ran in.

    ``ratio`` is the candidate's over the baseline's (above 1: it does more), paired by window as a latency is by block.
    """

    baseline_per_s: tuple[float, ...]
    candidate_per_s: tuple[float, ...]
    sessions: tuple[int, ...]
    streams: int
    batch: int
    ratio: float
    ratio_ci95: tuple[float, float]
    health: Health | None = None
    quarantined: tuple[dict[str, Any], ...] = ()

    def metrics(self) -> dict[str, Any]:
        """``throughput`` as a candidate's metrics hold it: ``ratio`` with its ``ci95`` as main figure."""
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
    """Loads both models in turn with ``streams`` streams of inferences of ``batch`` samples each.

    Calls ``look`` at the end of each session pair; ``seed`` decides the order. Raises :class:`UnhealthyMeasurement`
    when the interval is still wider than ``usable_width`` at the time limit.
    """
    start, pair = clock(), 0
    order, padding, stopping = Order(seed), Padding(seed), Stopping(load.limits)
    per_s: dict[str, list[float]] = {BASELINE: [], CANDIDATE: []}
    sessions: list[int] = []
    with ThreadPoolExecutor(streams) as pool:
        while True:
            with open_pair(open_baseline, open_candidate, order, padding) as (ours, theirs):
                opened = {BASELINE: ours, CANDIDATE: theirs}
                for session in opened.values():
                    _window(pool, session, feed, streams, load.warm_up_s, clock)
                for first in order.draw_first_to_time(load.windows):
                    for name in (first, *(other for other in opened if other != first)):
                        runs_per_s = _window(pool, opened[name], feed, streams, load.window_s, clock)
                        per_s[name].append(runs_per_s * batch)
                    sessions.append(pair)
                look()
            pair += 1
            elapsed = clock() - start
            if not stopping.looks(pair, elapsed):
                continue
            logs = np.log(per_s[CANDIDATE]) - np.log(per_s[BASELINE])
            ratio, interval = ratio_interval(logs.reshape(pair, load.windows).mean(axis=1))
            half_width = (interval[1] - interval[0]) / 2 / ratio
            if stopping.over(half_width, elapsed):
                break
            if stopping.hopeless(half_width, pair, elapsed):
                raise UnhealthyMeasurement(
                    f"the throughput's interval is still ±{half_width:.1%} wide after {elapsed:.0f} s",
                    "quieten the machine and measure again",
                )
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
