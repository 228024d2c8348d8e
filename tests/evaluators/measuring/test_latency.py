"""The pairing protocol on sessions whose times are known and a clock that only they move."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluators.measuring.latency import Protocol, measure_pair
from evaluators.measuring.measurement import Measurement, pair_ratio
from evaluators.measuring.padding import Padding
from evaluators.measuring.stopping import GROWTH
from evaluators.runtimes.base import Session
from evaluators.tensors import Array, Arrays
from hwprofiles.errors import BuildFailed, UnhealthyMeasurement

Times = Iterator[float]

QUICK = Protocol(min_s=0.0, max_s=1e9)
"""No least time, and a limit that is never reached."""


class FakeSession(Session):
    """Answers with the times that it is told, and moves the clock of its machine by them."""

    inputs = outputs = ()

    def __init__(self, machine: Machine, name: str, times: Times) -> None:
        self._machine, self.name, self._times = machine, name, times
        self.closed = False

    def run(self, feed: Arrays) -> dict[str, Array]:
        raise NotImplementedError

    def time_ms(self, feed: Arrays) -> float:
        assert not self.closed
        ms = next(self._times)
        self._machine.now_s += ms / 1000
        self._machine.events.append(("time", self.name))
        return ms

    def close(self) -> None:
        self.closed = True
        self._machine.events.append(("close", self.name))


class Machine:
    """Has two models, ``baseline`` and ``candidate``, and remembers all that happened on it."""

    def __init__(self, baseline: Callable[[], Times], candidate: Callable[[], Times]) -> None:
        self.models = {"baseline": baseline, "candidate": candidate}
        self.now_s = 1000.0
        self.events: list[tuple[str, str]] = []
        self.sessions: list[FakeSession] = []

    def opener(self, name: str) -> Callable[[], Session]:
        def opened() -> Session:
            self.events.append(("open", name))
            self.sessions.append(FakeSession(self, name, self.models[name]()))
            return self.sessions[-1]

        return opened

    def measure(self, protocol: Protocol = QUICK, **options: Any) -> Measurement:
        return measure_pair(
            self.opener("baseline"),
            self.opener("candidate"),
            {},
            profile_digest="p" * 64,
            runtime="onnxruntime",
            runtime_version="1",
            protocol=protocol,
            clock=lambda: self.now_s,
            **options,
        )

    @property
    def pairs(self) -> int:
        return len(self.sessions) // 2


def always(ms: float) -> Callable[[], Times]:
    return lambda: itertools.repeat(ms)


def noisy(ms: float, spread: float, seed: int) -> Callable[[], Times]:
    """Every session has luck of its own, and so has every run."""
    rng = np.random.default_rng(seed)

    def times() -> Times:
        luck = math.exp(spread * rng.standard_normal())
        while True:
            yield ms * luck * math.exp(spread / 10 * rng.standard_normal())

    return times


def half_width(measured: Measurement) -> float:
    return (measured.ratio_ci95[1] - measured.ratio_ci95[0]) / 2 / measured.ratio


class TestRatio:
    @pytest.mark.parametrize(
        ("baseline_ms", "candidate_ms", "ratio"), [(4.0, 2.0, 2.0), (2.0, 4.0, 0.5), (3.0, 3.0, 1.0), (0.5, 0.125, 4.0)]
    )
    def test_it_is_exact_where_nothing_varies(self, baseline_ms: float, candidate_ms: float, ratio: float) -> None:
        measured = Machine(always(baseline_ms), always(candidate_ms)).measure()
        assert (measured.ratio, measured.ratio_ci95, measured.verdict) == (ratio, (ratio, ratio), "stable")
        assert measured.metrics()["latency_ms"]["p50"] == candidate_ms
        assert measured.baseline_metrics()["latency_ms"]["p50"] == baseline_ms

    def test_every_sample_is_kept(self) -> None:
        measured = Machine(always(4.0), always(2.0)).measure(replace(QUICK, runs=6, blocks=3, min_pairs=5))
        assert measured.baseline_ms == ((4.0,) * 6,) * 15
        assert measured.candidate_ms == ((2.0,) * 6,) * 15
        assert measured.sessions == tuple(pair for pair in range(5) for _ in range(3))

    def test_a_machine_that_slows_down_keeps_the_ratio(self) -> None:
        machine = Machine(always(0.0), always(0.0))

        def slowing(ms: float) -> Callable[[], Times]:
            def times() -> Times:
                while True:
                    yield ms * (1 + (machine.now_s - 1000.0))

            return times

        machine.models = {"baseline": slowing(4.0), "candidate": slowing(2.0)}
        measured = machine.measure(replace(QUICK, min_pairs=20))
        times_ms = np.array(measured.candidate_ms)
        assert times_ms.max() > 3 * times_ms.min()
        assert measured.ratio == pytest.approx(2.0, rel=0.02)
        assert measured.verdict == "stable"

    def test_the_record_names_its_device(self) -> None:
        measured = Machine(always(1.0), always(1.0)).measure(marks=("unpinned",))
        assert (measured.profile_digest, measured.runtime_version) == ("p" * 64, "1")
        assert measured.marks == ("unpinned",)


class TestWarmUp:
    def test_it_is_never_in_the_samples(self) -> None:
        def cold() -> Times:
            return itertools.chain([900.0, 500.0, 200.0, 100.0, 50.0], itertools.repeat(2.0))

        measured = Machine(cold, cold).measure()
        assert {ms for block in measured.candidate_ms + measured.baseline_ms for ms in block} == {2.0}

    def test_the_first_run_after_the_other_model_is_not_timed(self) -> None:
        """It finds the caches full of the other model's weights."""
        machine = Machine(always(0.0), always(0.0))

        def crowded_out(name: str, ms: float) -> Callable[[], Times]:
            def times() -> Times:
                while True:
                    yield ms if machine.events[-1] == ("time", name) else 10 * ms

            return times

        machine.models = {name: crowded_out(name, ms) for name, ms in (("baseline", 4.0), ("candidate", 2.0))}
        measured = machine.measure()
        assert {ms for block in measured.baseline_ms for ms in block} == {4.0}
        assert {ms for block in measured.candidate_ms for ms in block} == {2.0}

    @pytest.mark.parametrize("runs", [3, 7])
    def test_it_takes_at_least_so_many_runs(self, runs: int) -> None:
        protocol = replace(QUICK, warm_up_runs=runs, min_pairs=2)
        machine = Machine(always(1.0), always(1.0))
        machine.measure(protocol)
        timed = 2 * protocol.blocks * (1 + protocol.runs)
        assert machine.events.count(("time", "baseline")) == 2 * (runs + 1) + timed

    def test_a_model_that_gets_faster_for_ever_is_measured_all_the_same(self) -> None:
        def faster() -> Times:
            return (1000 * 0.9**number for number in itertools.count())

        protocol = replace(
            QUICK, warm_up_runs=3, warm_up_max_runs=12, block_ms=1e9, min_pairs=2, half_width=1e9, usable_width=1e9
        )
        machine = Machine(faster, faster)
        machine.measure(protocol)
        timed = 2 * protocol.blocks * (1 + protocol.runs)
        assert machine.events.count(("time", "candidate")) == 2 * 12 + timed


class TestOrder:
    @pytest.fixture
    def machine(self) -> Machine:
        machine = Machine(always(4.0), always(2.0))
        machine.measure(replace(QUICK, min_pairs=6, blocks=4, runs=5))
        return machine

    @pytest.fixture
    def blocks(self, machine: Machine) -> list[list[str]]:
        """For each pair of sessions, which model went first in each of its blocks."""
        firsts = []
        for _ in range(machine.pairs):
            start = next(i for i, event in enumerate(machine.events) if event[0] == "time")
            end = next(i for i, event in enumerate(machine.events) if event[0] == "close")
            names = [name for _, name in machine.events[start:end]]
            names = names[-4 * 2 * 6 :]  # warmed up
            assert all(len(set(names[i : i + 6])) == 1 for i in range(0, len(names), 6))
            firsts.append(names[::12])
            assert all(first != second for first, second in zip(names[::12], names[6::12], strict=True))
            del machine.events[: end + 2]
        return firsts

    def test_who_goes_first_is_drawn_and_written_down(self, machine: Machine, blocks: list[list[str]]) -> None:
        """Models that take turns would meet whatever comes in their rhythm always in the same role."""
        assert len({tuple(firsts) for firsts in blocks}) > 2
        assert any(a == b for firsts in blocks for a, b in itertools.pairwise(firsts))
        written = Machine(always(4.0), always(2.0)).measure(replace(QUICK, min_pairs=6, blocks=4, runs=5)).order
        assert written == "".join(name[0] for firsts in blocks for name in firsts)

    def test_another_seed_is_another_order(self) -> None:
        def order(seed: int) -> str:
            return Machine(always(4.0), always(2.0)).measure(seed=seed).order

        assert order(1) == order(1)
        assert len({order(seed) for seed in range(8)}) == 8

    def test_what_comes_in_the_rhythm_of_blocks_falls_on_both(self) -> None:
        """Every other block of whichever model is a tenth slower."""
        machine = Machine(always(0.0), always(0.0))

        def rhythmic() -> Times:
            while True:
                block = sum(event == "time" for event, _ in machine.events) // 6
                yield 4.4 if block % 2 else 4.0

        machine.models = {"baseline": rhythmic, "candidate": rhythmic}
        measured = machine.measure(replace(QUICK, warm_up_runs=6, warm_up_max_runs=6, min_pairs=20))
        low, high = measured.ratio_ci95
        assert low <= 1.0 <= high
        assert measured.ratio == pytest.approx(1.0, abs=0.02)

    def test_neither_is_first_more_often(self, blocks: list[list[str]]) -> None:
        every = list(itertools.chain(*blocks))
        assert every.count("baseline") == every.count("candidate")
        assert {firsts[0] for firsts in blocks} == {"baseline", "candidate"}

    def test_neither_is_opened_first_more_often(self, machine: Machine) -> None:
        opened = [name for event, name in machine.events if event == "open"]
        firsts = opened[::2]
        assert firsts.count("baseline") == firsts.count("candidate") == 3

    def test_each_pair_has_sessions_of_its_own_and_closes_them(self, machine: Machine) -> None:
        assert len(machine.sessions) == 12
        assert all(session.closed for session in machine.sessions)
        open_now = most = 0
        for event, _ in machine.events:
            open_now += {"open": 1, "close": -1}.get(event, 0)
            most = max(most, open_now)
        assert most == 2


class TestStop:
    @pytest.mark.parametrize("pairs", [2, 8, 13])
    def test_at_the_least_number_of_pairs(self, pairs: int) -> None:
        machine = Machine(always(4.0), always(2.0))
        machine.measure(replace(QUICK, min_pairs=pairs))
        assert machine.pairs == pairs

    def test_not_before_the_least_time(self) -> None:
        machine = Machine(always(4.0), always(2.0))
        machine.measure(replace(QUICK, min_pairs=2, min_s=3.0))
        assert machine.now_s >= 1003.0
        assert machine.pairs > 2

    @pytest.mark.parametrize("seed", [0, 4])
    def test_at_the_first_look_at_which_the_interval_is_narrow_enough(self, seed: int) -> None:
        protocol = replace(QUICK, aim_s=math.inf, aim_width=0.02)
        measured = Machine(noisy(4.0, 0.03, seed), noisy(2.0, 0.03, seed + 100)).measure(protocol)
        pairs = measured.sessions[-1] + 1
        looks = [protocol.min_pairs]
        while looks[-1] < pairs:
            looks.append(math.ceil(looks[-1] * GROWTH))
        assert looks[-1] == pairs > protocol.min_pairs
        assert half_width(measured) <= 0.02
        for fewer in looks[:-1]:
            blocks = fewer * protocol.blocks
            ratio, (low, high) = pair_ratio(
                measured.baseline_ms[:blocks], measured.candidate_ms[:blocks], measured.sessions[:blocks]
            )
            assert (high - low) / 2 / ratio > 0.02

    def test_at_the_limit_without_a_result(self) -> None:
        machine = Machine(noisy(40.0, 1.0, 1), noisy(20.0, 1.0, 2))
        with pytest.raises(UnhealthyMeasurement, match=r"still ±\d+\.\d% wide after \d+ s") as caught:
            machine.measure(replace(QUICK, max_s=60.0))
        assert 1060.0 <= machine.now_s < 1090.0
        assert caught.value.hint
        assert all(session.closed for session in machine.sessions)

    def test_patience_is_for_intervals_that_would_become_usable(self) -> None:
        machine = Machine(noisy(40.0, 0.3, 1), noisy(20.0, 0.3, 2))
        start = machine.now_s
        found = machine.measure(replace(QUICK, max_s=5.0, half_width=0.0, usable_width=math.inf))
        enough = half_width(found) * 0.8
        assert 5.0 <= machine.now_s - start < 10.0
        patient = Machine(noisy(40.0, 0.3, 1), noisy(20.0, 0.3, 2))
        found = patient.measure(replace(QUICK, max_s=5.0, half_width=0.0, usable_width=enough))
        assert found.verdict == "unstable"
        assert half_width(found) <= enough
        assert 5.0 < patient.now_s - start < 60.0
        hopeless = Machine(noisy(40.0, 0.3, 1), noisy(20.0, 0.3, 2))
        with pytest.raises(UnhealthyMeasurement):
            hopeless.measure(replace(QUICK, max_s=5.0, half_width=0.0, usable_width=enough / 100))
        assert hopeless.now_s - start < 10.0

    @pytest.mark.parametrize(("ms", "pairs"), [(4.0, 8), (150.0, 5), (5000.0, 3)])
    def test_models_that_take_seconds_do_with_few_pairs(self, ms: float, pairs: int) -> None:
        """At the limit an interval needs no more than that; without one it would have no width at all."""
        machine = Machine(always(ms), always(ms))
        assert machine.measure(Protocol()).verdict == "stable"
        assert machine.pairs == pairs

    @pytest.mark.parametrize("pairs", [3, 4, 5])
    def test_few_pairs_are_held_to_an_honest_interval(self, pairs: int) -> None:
        """Of wavering models, hardly one in twenty may miss the true ratio, and none that is wide is stable."""
        protocol = Protocol(min_s=0.0, max_s=0.0, few_pairs=pairs, usable_width=math.inf)
        found = [Machine(noisy(4.0, 0.02, s), noisy(2.0, 0.02, s + 500)).measure(protocol) for s in range(200)]
        assert sum(one.ratio_ci95[0] <= 2.0 <= one.ratio_ci95[1] for one in found) >= 185
        assert all((one.verdict == "stable") == (half_width(one) <= 0.02) for one in found)
        assert sum(one.verdict == "stable" for one in found) < 30

    @pytest.mark.parametrize("seed", range(5))
    def test_the_verdict_at_the_limit(self, seed: int) -> None:
        def measured(wanted: float, usable: float) -> Measurement:
            machine = Machine(noisy(4.0, 0.1, seed), noisy(2.0, 0.1, seed + 100))
            protocol = Protocol(min_s=0.0, max_s=0.0, patience_s=0.0, few_pairs=8)
            return machine.measure(replace(protocol, half_width=wanted, usable_width=usable))

        found = half_width(measured(math.inf, math.inf))
        assert measured(found * 1.01, found * 1.02).verdict == "stable"
        assert measured(found / 1.01, found * 1.01).verdict == "unstable"
        assert measured(found / 100, math.inf).verdict == "unstable"
        with pytest.raises(UnhealthyMeasurement):
            measured(found / 2, found / 1.01)

    def test_a_result_repeats(self) -> None:
        def measured() -> Measurement:
            return Machine(noisy(4.0, 0.02, 1), noisy(2.0, 0.02, 2)).measure()

        assert measured() == measured()


class TestSamples:
    """Of which a percentile needs many."""

    @pytest.mark.parametrize("samples", [130, 662])
    @pytest.mark.parametrize("ms", [4.0, 20.0])
    def test_blocks_become_longer_and_there_are_enough(self, samples: int, ms: float) -> None:
        measured = Machine(always(ms), always(ms)).measure(replace(Protocol(), samples=samples))
        assert measured.metrics()["latency_ms"]["n"] >= samples
        assert {130: "p95", 662: "p99"}[samples] in measured.metrics()["latency_ms"]

    def test_few_pairs_will_not_do_then(self) -> None:
        machine = Machine(always(20.0), always(20.0))
        measured = machine.measure(replace(Protocol(), samples=662, max_s=1.0))
        assert measured.metrics()["latency_ms"]["n"] >= 662

    def test_what_takes_too_long_is_measured_as_usual(self) -> None:
        slow, usual = (
            Machine(always(150.0), always(150.0)).measure(replace(Protocol(), samples=samples)) for samples in (662, 0)
        )
        assert slow == usual
        assert "p99" not in slow.metrics()["latency_ms"]
        assert not Protocol(samples=662).fits(150.0)
        assert Protocol(samples=662).fits(40.0)


class TestDevices:
    def test_a_gpu_is_warmed_up_for_some_time(self) -> None:
        """A few inferences of a fast engine are over before its clocks have risen."""
        machine = Machine(always(1.0), always(1.0))
        protocol = replace(QUICK, min_pairs=2).on(threads=1, gpu=True)
        machine.measure(protocol)
        timed = 2 * protocol.blocks * (1 + protocol.runs)
        warm = machine.events.count(("time", "candidate")) - timed
        assert 2 * protocol.warm_up_s <= warm / 1000 <= 2 * (protocol.warm_up_s + 0.005)

    def test_threads_of_the_other_model_have_time_to_go_to_sleep(self) -> None:
        machine = Machine(always(0.5), always(0.5))
        protocol = replace(QUICK, min_pairs=2).on(threads=2, gpu=False)
        measured = machine.measure(protocol)
        warm = 2 * (protocol.warm_up_runs + 1)
        untimed = math.ceil(protocol.settle_ms / 0.5)
        blocks = len(measured.sessions)
        assert machine.events.count(("time", "baseline")) == warm + blocks * (untimed + protocol.runs)

    def test_one_thread_of_a_processor_needs_neither(self) -> None:
        assert Protocol().on(threads=1, gpu=False) == Protocol()


class TestPadding:
    def test_every_session_has_another_and_holds_it_while_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        machine, taken = Machine(always(4.0), always(2.0)), []
        real = Padding.take

        def counted(padding: Padding) -> Any:
            taken.append(real(padding))
            return taken[-1]

        monkeypatch.setattr(Padding, "take", counted)
        machine.measure(look=lambda: [pages[0] for _, pages in taken[-2:]])  # a closed one cannot be read
        assert len(taken) == len(machine.sessions)
        assert len({len(heap) for heap, _ in taken}) > len(taken) / 2
        assert all(pages.closed for _, pages in taken)

    def test_it_repeats(self) -> None:
        def sizes(seed: int) -> list[int]:
            padding = Padding(seed)
            return [len(padding.take()[0]) for _ in range(5)]

        assert sizes(1) == sizes(1) != sizes(2)


class TestSlowModels:
    @pytest.mark.parametrize(
        ("slowest_ms", "runs"), [(0.01, 5), (12.0, 5), (15.0, 4), (20.0, 3), (30.0, 2), (5000.0, 2), (0.0, 5)]
    )
    def test_blocks_are_shorter_but_never_single_runs(self, slowest_ms: float, runs: int) -> None:
        assert Protocol(runs=5, block_ms=60.0).runs_of(slowest_ms) == runs

    def test_the_slower_model_decides_for_both(self) -> None:
        for names in (("baseline", "candidate"), ("candidate", "baseline")):
            models = dict(zip(names, (always(20.0), always(1.0)), strict=True))
            measured = Machine(models["baseline"], models["candidate"]).measure()
            assert {len(block) for block in measured.baseline_ms + measured.candidate_ms} == {3}

    def test_all_blocks_of_a_measurement_are_equally_long(self) -> None:
        """Whatever the machine's speed does later."""
        speeds = itertools.cycle([1.0, 50.0])

        def changing() -> Times:
            return itertools.repeat(next(speeds))

        measured = Machine(changing, always(1.0)).measure(replace(QUICK, half_width=math.inf, usable_width=math.inf))
        assert len({len(block) for block in measured.baseline_ms}) == 1

    def test_the_quick_protocol_is_shorter(self) -> None:
        quick = Protocol().quick()
        assert quick.max_s < Protocol().max_s
        assert quick.min_pairs < Protocol().min_pairs


class TestErrors:
    @pytest.mark.parametrize("pair", [0, 1])
    @pytest.mark.parametrize("name", ["baseline", "candidate"])
    def test_a_model_that_does_not_open(self, name: str, pair: int) -> None:
        machine = Machine(always(4.0), always(2.0))
        opened = itertools.count()

        def refuse() -> Times:
            if next(opened) >= pair:
                raise BuildFailed("cannot be opened")
            return itertools.repeat(2.0)

        machine.models[name] = refuse
        with pytest.raises(BuildFailed, match="cannot be opened"):
            machine.measure()
        assert all(session.closed for session in machine.sessions)

    @pytest.mark.parametrize("run", [0, 3, 10, 25])
    @pytest.mark.parametrize("name", ["baseline", "candidate"])
    def test_a_model_that_fails_in_a_run(self, name: str, run: int) -> None:
        machine = Machine(always(4.0), always(2.0))

        def failing() -> Times:
            yield from itertools.repeat(2.0, run)
            raise BuildFailed("cannot be run")

        machine.models[name] = failing
        with pytest.raises(BuildFailed, match="cannot be run"):
            machine.measure()
        assert len(machine.sessions) % 2 == 0
        assert all(session.closed for session in machine.sessions)
