"""Which of several attempts is published, and that none is mixed with another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluators.devices.device import LocalDevice
from evaluators.health import Health
from evaluators.measuring.attempt import Attempt, select_attempt
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.measuring.measurement import Measurement, combine_measurements, pool_measurements
from hwprofiles import find_device
from hwprofiles.errors import BuildFailed, StageTimeout, UnhealthyMeasurement

HEALTHY = Health("healthy")
CONTENDED = Health("contended", {"others_share": 0.5}, (), ("others used 50%",))
DRIFTED = Health("drifted", {"drift_share": 0.2}, (), ("the baseline took 20% longer",))
UNKNOWN = Health("unknown", {}, ("others_share",), ("nothing is shown",))


def record(ratio: float, health: Health | None = None) -> Measurement:
    return Measurement(
        "p" * 64, "onnxruntime", "1", ((ratio,),) * 4, ((1.0,),) * 4, (0, 0, 1, 1), ratio, (ratio, ratio), "stable",
        health=health,
    )  # fmt: skip


def attempt(health: Health, ratio: float | None = 2.0, failure: str = "") -> Attempt[Measurement]:
    return Attempt(health, None if ratio is None else record(ratio), failure)


class TestPublished:
    def test_one(self) -> None:
        found = select_attempt([attempt(HEALTHY)])
        assert (found.ratio, found.health, found.quarantined) == (2.0, HEALTHY, ())

    def test_the_healthy_one_stands_alone(self) -> None:
        found = select_attempt([attempt(CONTENDED, 1.2), attempt(CONTENDED, 1.5), attempt(HEALTHY, 2.0)])
        assert (found.ratio, found.health) == (2.0, HEALTHY)
        assert found.candidate_ms == record(2.0).candidate_ms
        assert [one["ratio"] for one in found.quarantined] == [1.2, 1.5]
        assert found.quarantined[0] == {
            "verdict": "contended", "reasons": ["others used 50%"], "ratio": 1.2, "ci95": [1.2, 1.2],
        }  # fmt: skip

    def test_where_none_was_healthy_the_last_says_so(self) -> None:
        found = select_attempt([attempt(CONTENDED, 1.2), attempt(CONTENDED, 1.5)])
        assert (found.ratio, found.health) == (1.5, CONTENDED)
        assert [one["ratio"] for one in found.quarantined] == [1.2]

    def test_an_earlier_one_stands_in_for_one_that_came_to_nothing(self) -> None:
        found = select_attempt([attempt(CONTENDED, 1.2), attempt(CONTENDED, None, "still wide")])
        assert (found.ratio, found.health) == (1.2, CONTENDED)
        assert [one["ratio"] for one in found.quarantined] == [None]

    def test_but_not_for_one_that_came_to_nothing_on_a_healthy_machine(self) -> None:
        with pytest.raises(UnhealthyMeasurement, match=r"^still wide$"):
            select_attempt([attempt(CONTENDED, 1.2), attempt(HEALTHY, None, "still wide")])

    def test_nothing_at_all(self) -> None:
        with pytest.raises(UnhealthyMeasurement, match="still wide; the machine was contended: others used 50%"):
            select_attempt([attempt(CONTENDED, None, "still wide")] * 2)


class TestMixing:
    def test_a_healthy_and_an_unhealthy_one_are_never_pooled(self) -> None:
        for pair in ((HEALTHY, CONTENDED), (CONTENDED, HEALTHY), (HEALTHY, None), (UNKNOWN, HEALTHY)):
            with pytest.raises(ValueError, match="healthy"):
                pool_measurements(record(2.0, pair[0]), record(2.0, pair[1]))

    @pytest.mark.parametrize("swapped", [False, True])
    def test_of_the_two_the_healthy_one_is_kept(self, swapped: bool) -> None:
        good, bad = record(2.0, HEALTHY), record(1.0, CONTENDED)
        found = combine_measurements(bad, good) if swapped else combine_measurements(good, bad)
        assert (found.ratio, found.health, found.candidate_ms) == (2.0, HEALTHY, good.candidate_ms)
        assert [one["verdict"] for one in found.quarantined] == ["contended"]

    def test_two_of_a_kind_are_pooled(self) -> None:
        good = combine_measurements(record(2.0, HEALTHY), record(3.0, HEALTHY))
        bad = combine_measurements(record(2.0, CONTENDED), record(3.0, UNKNOWN))
        assert len(good.sessions) == len(bad.sessions) == 8
        assert good.healthy
        assert bad.health is not None
        assert bad.health.verdict == "unknown"

    def test_what_was_set_aside_stays_listed(self) -> None:
        first = replace(record(2.0, HEALTHY), quarantined=({"ratio": 1.0},))
        second = replace(record(2.1, HEALTHY), quarantined=({"ratio": 1.1},))
        assert pool_measurements(first, second).quarantined == ({"ratio": 1.0}, {"ratio": 1.1})
        assert len(combine_measurements(first, record(1.5, CONTENDED)).quarantined) == 2


class Scripted:
    """In the place of the measuring process: answers with what is told, one after another."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.limits_s = list(answers), list[float]()

    def call(self, function: Any, *args: Any, stage: str, limit_s: float) -> Any:
        self.limits_s.append(limit_s)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        pass


class TestMeasuringAgain:
    @pytest.fixture(autouse=True)
    def device(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        self._device = LocalDevice(find_device("local-cpu"))
        yield
        self._device.close()

    def measure(self, *answers: Any, attempts: int = 3, limit_s: float = 100.0) -> Measurement:
        self.process = Scripted(*answers)
        self._device._process = self.process  # type: ignore[assignment]
        return self._device.measure(LatencyRequest(Path("a"), Path("b"), {}, Protocol(attempts=attempts), limit_s))

    @pytest.mark.parametrize("health", [HEALTHY, UNKNOWN])
    def test_not_where_nothing_speaks_against_it(self, health: Health) -> None:
        assert self.measure(attempt(health)).health == health
        assert len(self.process.limits_s) == 1

    def test_until_one_is_healthy(self) -> None:
        found = self.measure(attempt(CONTENDED, 1.0), attempt(CONTENDED, 1.1), attempt(HEALTHY, 2.0))
        assert found.ratio == 2.0
        assert len(found.quarantined) == 2

    @pytest.mark.parametrize("attempts", [1, 2, 3])
    def test_a_bounded_number_of_times(self, attempts: int) -> None:
        found = self.measure(*[attempt(CONTENDED, 1.0 + n) for n in range(attempts)], attempts=attempts)
        assert found.ratio == attempts
        assert found.health == CONTENDED
        assert len(found.quarantined) == attempts - 1

    def test_a_load_that_stays_is_not_waited_for_again_and_again(self) -> None:
        self.measure(*[attempt(CONTENDED)] * 3)
        self.measure(attempt(CONTENDED))
        self.measure(attempt(DRIFTED), attempt(HEALTHY))
        self.measure(*[attempt(CONTENDED)] * 2, attempt(HEALTHY))

    def test_not_beyond_the_limit(self) -> None:
        assert self.measure(attempt(CONTENDED), limit_s=0.0).health == CONTENDED

    def test_one_that_passes_the_limit_leaves_the_last(self) -> None:
        found = self.measure(attempt(CONTENDED, 1.5), StageTimeout("measuring: took longer"))
        assert (found.ratio, found.health) == (1.5, CONTENDED)
        with pytest.raises(StageTimeout):
            self.measure(StageTimeout("measuring: took longer"))

    def test_a_failure_of_the_model_is_none_of_the_machine(self) -> None:
        with pytest.raises(BuildFailed):
            self.measure(BuildFailed("no model"))
        assert len(self.process.limits_s) == 1
