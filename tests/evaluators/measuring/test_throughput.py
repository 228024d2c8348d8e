"""Throughput on sessions whose times are known and a clock that only they move."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluators.health import Health
from evaluators.measuring.throughput import Load, Throughput, measure_load
from evaluators.runtimes.base import Session
from evaluators.tensors import Array, Arrays
from hwprofiles.errors import UnhealthyMeasurement
from search.fronts.objectives import metric_interval, metric_value


class Machine:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.events: list[tuple[str, str]] = []

    def opener(self, name: str, times_ms: Iterator[float]) -> Callable[[], Session]:
        machine = self

        class Timed(Session):
            inputs = outputs = ()

            def run(self, feed: Arrays) -> dict[str, Array]:
                machine.now_s += next(times_ms) / 1000
                machine.events.append(("run", name))
                return {}

            def time_ms(self, feed: Arrays) -> float:
                raise NotImplementedError

            def close(self) -> None:
                machine.events.append(("close", name))

        def opened() -> Session:
            self.events.append(("open", name))
            return Timed()

        return opened

    def measure(self, baseline: Iterator[float], candidate: Iterator[float], **options: Any) -> Throughput:
        load = options.pop("load", Load())
        return measure_load(
            self.opener("baseline", baseline), self.opener("candidate", candidate), {}, load=load,
            streams=1, batch=options.pop("batch", 1), clock=lambda: self.now_s, **options,
        )  # fmt: skip


def noisy(ms: float, spread: float, seed: int) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:
        luck = float(np.exp(spread * rng.standard_normal()))
        yield from [ms * luck] * 50


class TestRatio:
    def test_samples_per_second_and_their_ratio(self) -> None:
        found = Machine().measure(itertools.repeat(4.0), itertools.repeat(2.0), batch=8)
        assert found.ratio == pytest.approx(2.0)
        assert found.ratio_ci95 == pytest.approx((2.0, 2.0))
        figures = found.metrics()["throughput"]
        assert figures["per_s"] == pytest.approx(4000.0)
        assert figures["baseline_per_s"] == pytest.approx(2000.0)
        assert (figures["batch"], figures["streams"]) == (8, 1)

    def test_the_main_figure_and_its_interval_belong_together(self) -> None:
        metrics = Machine().measure(itertools.repeat(4.0), itertools.repeat(2.0)).metrics()
        interval = metric_interval(metrics, "throughput")
        value = metric_value(metrics, "throughput")
        assert interval is not None
        assert value is not None
        assert interval[0] <= value <= interval[1]
        assert metric_value(metrics, "throughput.per_s") == pytest.approx(500.0)

    def test_a_slow_model_runs_at_least_three_times(self) -> None:
        machine = Machine()
        found = machine.measure(itertools.repeat(9000.0), itertools.repeat(3000.0), load=Load(max_s=1.0))
        assert found.ratio == pytest.approx(3.0)

    def test_they_are_json(self) -> None:
        metrics = Machine().measure(itertools.repeat(4.0), itertools.repeat(2.0)).metrics()
        assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


class TestPairs:
    def test_both_are_opened_anew_and_closed(self) -> None:
        machine = Machine()
        found = machine.measure(itertools.repeat(4.0), itertools.repeat(2.0), load=Load(min_pairs=6))
        opened = [name for event, name in machine.events if event == "open"]
        assert len(opened) == sum(event == "close" for event, _ in machine.events) == 12
        assert opened[::2].count("baseline") == opened[::2].count("candidate") == 3
        assert found.sessions == tuple(pair for pair in range(6) for _ in range(2))

    def test_a_look_at_the_end_of_each(self) -> None:
        looks: list[int] = []
        machine = Machine()
        machine.measure(
            itertools.repeat(4.0), itertools.repeat(2.0), load=Load(min_pairs=5),
            look=lambda: looks.append(sum(event == "close" for event, _ in machine.events)),
        )  # fmt: skip
        assert looks == [0, 2, 4, 6, 8]

    def test_it_goes_on_until_the_interval_is_narrow(self) -> None:
        found = Machine().measure(
            noisy(4.0, 0.4, 1), noisy(2.0, 0.4, 2), load=Load(max_s=1e9, min_pairs=3, half_width=0.05)
        )
        assert (found.ratio_ci95[1] - found.ratio_ci95[0]) / 2 / found.ratio <= 0.05
        assert found.sessions[-1] > 3

    def test_at_the_limit_without_a_result(self) -> None:
        with pytest.raises(UnhealthyMeasurement, match="throughput's interval is still"):
            Machine().measure(noisy(40.0, 2.0, 1), noisy(20.0, 2.0, 2), load=Load(max_s=20.0))


class TestStreams:
    @pytest.mark.parametrize(
        ("streams", "threads", "split"),
        [(0, 4, (4, 1)), (2, 4, (2, 2)), (1, 4, (1, 4)), (3, 1, (3, 1)), (0, 1, (1, 1))],
    )
    def test_they_share_the_threads(self, streams: int, threads: int, split: tuple[int, int]) -> None:
        assert Load(streams=streams).split(threads) == split

    def test_several_are_under_way_at_once(self) -> None:
        lock, under_way, most = threading.Lock(), 0, 0

        class Counted(Session):
            inputs = outputs = ()

            def run(self, feed: Arrays) -> dict[str, Array]:
                nonlocal under_way, most
                with lock:
                    under_way += 1
                    most = max(most, under_way)
                time.sleep(0.005)
                with lock:
                    under_way -= 1
                return {}

            def time_ms(self, feed: Arrays) -> float:
                raise NotImplementedError

            def close(self) -> None:
                pass

        load = Load(window_s=0.02, windows=1, min_pairs=2, usable_width=1e9, half_width=1e9)
        found = measure_load(Counted, Counted, {}, load=load, streams=3, batch=1)
        assert found.streams == most == 3

    def test_the_verdict_is_told_with_the_figure(self) -> None:
        found = Machine().measure(itertools.repeat(4.0), itertools.repeat(2.0))
        assert found.metrics()["throughput"]["health"] == "unknown"
        assert replace(found, health=Health("contended")).metrics()["throughput"]["health"] == "contended"
