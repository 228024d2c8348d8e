"""Paired latency: candidate against baseline in alternating blocks and fresh sessions, until the interval is narrow.

A number measured alone is useless on a shared machine: one model was seen at 9 to 29 ms within a minute. Two models
timed in turn share the machine's mood, and their ratio keeps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from evaluators.measurement import Measurement, paired_ratio
from evaluators.runtimes.base import Arrays, Session
from hwprofiles.errors import UnhealthyMeasurement

Open = Callable[[], Session]


@dataclass(frozen=True)
class Protocol:
    """How long and how often.

    A *block* is up to ``runs`` timed inferences of one model after one untimed, fewer (at least two) where one takes so
    long that they would pass ``block_ms``; a *session pair* is both models opened anew,
    warmed up, and timed for ``blocks`` blocks each in turn. Pairs follow one another until there are at least
    ``min_pairs`` of them and ``min_s`` seconds have passed and the ratio's interval is within ``half_width`` of it, or
    until ``max_s`` have passed and there are at least ``few_pairs``, with which slow models must do. An interval that
    is then wider than ``usable_width`` is given until ``patience_s`` to become as narrow as that, where more pairs
    would make it so: its width falls with the square root of their number. A measurement on a
    machine that was not healthy is made up to ``attempts`` times in all. ``drift`` says whether a baseline that takes
    another time than lately makes it so. Where the device counts energy, each model then runs for ``energy_s`` on its
    own, twice.
    """

    runs: int = 5
    block_ms: float = 60.0
    blocks: int = 4
    min_pairs: int = 8
    few_pairs: int = 3
    min_s: float = 1.0
    max_s: float = 20.0
    half_width: float = 0.02
    usable_width: float = 0.1
    patience_s: float = 60.0
    warm_up_runs: int = 3
    warm_up_max_runs: int = 30
    attempts: int = 3
    drift: bool = True
    energy_s: float = 0.5

    def runs_of(self, slowest_ms: float) -> int:
        """Timed inferences in a block of models of which the slower takes ``slowest_ms``."""
        return min(self.runs, max(2, math.ceil(self.block_ms / max(slowest_ms, 1e-6))))

    def quick(self) -> Protocol:
        """For questions about single layers: fewer pairs, a wider interval, an answer in any case, no energy. Their
        microseconds drift more than a model's time does, which a paired ratio does not mind."""
        return Protocol(
            min_pairs=4, min_s=0.1, max_s=2.0, half_width=0.05, usable_width=math.inf, attempts=2, drift=False,
            energy_s=0.0,
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
    look: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Measurement:
    """Times a candidate against the baseline on one feed, and calls ``look`` at the end of each session pair, while its
    sessions are still open.

    Raises :class:`UnhealthyMeasurement` when the interval is still wider than ``usable_width`` at ``patience_s``, or at
    ``max_s`` where it would be;
    wider than ``half_width`` it is ``unstable`` but usable. Warm-up is never averaged in.
    """
    start = clock()
    baseline_ms: list[tuple[float, ...]] = []
    candidate_ms: list[tuple[float, ...]] = []
    sessions: list[int] = []
    pair, runs = 0, 0
    while True:
        with opened_pair(open_baseline, open_candidate, swap=bool(pair % 2)) as (ours, theirs):
            slowest_ms = max(_warm_up(ours, feed, protocol), _warm_up(theirs, feed, protocol))
            runs = runs or protocol.runs_of(slowest_ms)
            for block in range(protocol.blocks):
                order = (ours, theirs) if block % 2 == pair % 2 else (theirs, ours)
                timed = {session: _block(session, feed, runs) for session in order}
                baseline_ms.append(timed[ours])
                candidate_ms.append(timed[theirs])
                sessions.append(pair)
            look()
        pair += 1
        elapsed = clock() - start
        if elapsed >= protocol.max_s:
            if pair < min(protocol.few_pairs, protocol.min_pairs):
                continue
        elif pair < protocol.min_pairs or elapsed < protocol.min_s:
            continue
        ratio, interval = paired_ratio(baseline_ms, candidate_ms, sessions)
        half_width = (interval[1] - interval[0]) / 2 / ratio
        if half_width <= protocol.half_width:
            break
        if elapsed < protocol.max_s:
            continue
        usable = max(protocol.usable_width, protocol.half_width)
        if half_width <= usable:
            break
        if (
            half_width * math.sqrt(elapsed / max(elapsed, protocol.patience_s)) > usable
            or elapsed >= protocol.patience_s
        ):
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
        verdict="stable" if half_width <= protocol.half_width else "unstable",
        marks=marks,
    )


@contextmanager
def opened_pair(open_baseline: Open, open_candidate: Open, *, swap: bool) -> Iterator[tuple[Session, Session]]:
    """Both models opened anew; ``swap`` opens the candidate first, so that the order favours neither."""
    with ExitStack() as stack:

        def opened(opener: Open) -> Session:
            session = opener()
            stack.callback(session.close)
            return session

        if swap:
            theirs = opened(open_candidate)
            yield opened(open_baseline), theirs
        else:
            ours = opened(open_baseline)
            yield ours, opened(open_candidate)


def _block(session: Session, feed: Arrays, runs: int) -> tuple[float, ...]:
    session.time_ms(feed)
    return tuple(session.time_ms(feed) for _ in range(runs))


def _warm_up(session: Session, feed: Arrays, protocol: Protocol) -> float:
    """Runs until one is no faster than the fastest before it by more than 2 %; returns the fastest, in milliseconds."""
    fastest_ms = min(session.time_ms(feed) for _ in range(protocol.warm_up_runs))
    for _ in range(protocol.warm_up_max_runs - protocol.warm_up_runs):
        now_ms = session.time_ms(feed)
        if now_ms >= 0.98 * fastest_ms:
            break
        fastest_ms = now_ms
    return fastest_ms
