"""A budget is a promise: preparing, searching and the final measurements together end within it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inline_search import with_device
from number_formats import number_formats
from slow_device import FakeClock, SlowDevice

from dashboards.documents.front import front_document
from dashboards.documents.jobs import job_document
from dashboards.words.time_spent import spent_in_words
from evaluators.devices.deadline import Deadline
from evaluators.devices.timed import TimedDevice
from evaluators.measuring.latency import LatencyRequest, Protocol
from hwprofiles.errors import NotAsked, StageTimeout
from search.budget.allowance import protocol_within
from search.budget.time_budget import TOLERANCE_S, TOLERANCE_SHARE, TimeBudget
from search.controller.controller import Controller
from search.controller.progress import Status, Watcher
from search.states import JobState
from search.store import Store

Submit = Callable[..., str]

WHOLE_MODELS = {"models", "jobs"}


class Recorder(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[Status] = []

    def update(self, status: Status) -> None:
        self.seen.append(status)


def int8_is_fast(path: Path) -> float:
    formats = number_formats(path)
    return 2.5 if formats & {"uint8", "int8"} else 1.2 if formats else 1.0


class Run:
    """One job on a slow device, under a fake clock."""

    def __init__(self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
        self._store, self._new_job, self._monkeypatch = store, new_job, monkeypatch
        self.clock, self.watcher = FakeClock(), Recorder()
        self.job_id = ""

    def __call__(
        self, seconds: Callable[[Path], float], *, minutes: float | None, memory_s: float = 1.0, **fields: Any
    ) -> dict[str, Any]:
        self.device = SlowDevice(int8_is_fast, self.clock, seconds, memory_s=memory_s)
        with_device(self._monkeypatch, self.device)
        budget = {"trials": 12} | ({} if minutes is None else {"minutes": minutes})
        fields = {"devices": ["local-cpu"], "space": {"precision": {}}, "budget": budget} | fields
        self.job_id = self._new_job(**fields)
        started = self.clock.now
        assert Controller(self._store, self.job_id, self.watcher, clock=self.clock).run() is JobState.DONE
        self.took_s = self.clock.now - started
        return front_document(self._store, self.job_id)


@pytest.fixture
def run(store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(store, new_job, monkeypatch)


def promised_s(minutes: float) -> float:
    return 60 * minutes + max(TOLERANCE_S, 60 * minutes * TOLERANCE_SHARE)


class TestThePromise:
    @pytest.mark.parametrize(("minutes", "question_s"), [(1, 0.5), (1, 4.0), (1, 15.0), (2, 4.0), (2, 15.0), (5, 15.0)])
    def test_all_phases_together_end_in_time(self, run: Run, minutes: float, question_s: float) -> None:
        document = run(lambda path: question_s, minutes=minutes)
        assert run.took_s <= promised_s(minutes)
        assert document["front"]
        assert all(member["confirmed"] for member in document["front"])

    def test_a_candidate_that_takes_for_ever_is_given_up(self, run: Run, store: Store) -> None:
        document = run(lambda path: 500.0 if path.parent.parent.name == "jobs" else 2.0, minutes=1)
        assert run.took_s <= promised_s(1)
        assert [member["trial"] for member in document["front"]] == [0]
        assert document["trials"] == {"done": 1, "failed": 0, "infeasible": 0, "running": 0, "pending": 0}
        assert document["ending"]["reason"] == "time"

    def test_final_measurements_that_take_longer_than_thought_are_cut(self, run: Run, store: Store) -> None:
        """They end with the budget; members then keep the figures of the search, and are not confirmed."""
        times: dict[Path, int] = {}

        def slow_later(path: Path) -> float:
            times[path] = times.get(path, 0) + 1
            return 2.0 if path.parent.parent.name != "jobs" or times[path] == 1 else 45.0

        document = run(slow_later, minutes=1)
        assert run.took_s <= promised_s(1)
        unconfirmed = [member for member in document["front"] if not member["confirmed"]]
        assert {member["trial"] for member in document["front"]} - {one["trial"] for one in unconfirmed} == {0}
        assert "no time was left for it" in {one["unconfirmed"] for one in unconfirmed}

    def test_what_there_was_no_time_for_is_measured_on_resume(self, run: Run, store: Store) -> None:
        self.test_final_measurements_that_take_longer_than_thought_are_cut(run, store)
        run.device._seconds = lambda path: 2.0
        assert Controller(store, run.job_id, clock=run.clock).run() is JobState.DONE
        document = front_document(store, run.job_id)
        assert len(document["front"]) > 1
        assert all(member["confirmed"] for member in document["front"])

    def test_without_minutes_nothing_is_left_out(self, run: Run) -> None:
        document = run(lambda path: 1.0, minutes=None, budget={"trials": 3})
        assert document["final"]
        assert not any("not_asked" in str(one) for one in document["baseline"]["facts"]["device_answers"])
        assert "no_layer_tables" not in document["baseline"]["facts"]


class TestPreparing:
    def test_what_there_is_no_time_for_is_not_asked_and_stays(self, run: Run, store: Store) -> None:
        run(lambda path: 15.0, minutes=1)
        facts = (store.jobs.get(run.job_id).baseline or {})["facts"]
        silent = [one for one in facts["device_answers"] if str(one.get("reason", "")).startswith("not_asked")]
        assert silent
        assert list(facts["no_layer_tables"].values()) == ["not made: the time to prepare the job was over"]
        space = store.jobs.get(run.job_id).space or {}
        assert all({one["precision"] for one in silent} <= {*found["choices"]} for found in space["decisions"])

    def test_an_answer_that_is_missing_is_asked_for_by_the_next_job(self, run: Run, store: Store) -> None:
        run(lambda path: 15.0, minutes=1)
        run(lambda path: 0.1, minutes=None, budget={"trials": 2})
        facts = (store.jobs.get(run.job_id).baseline or {})["facts"]
        assert not any(str(one.get("reason", "")).startswith("not_asked") for one in facts["device_answers"])


class TestBeginning:
    def test_the_baseline_is_on_the_front_when_there_was_no_time_for_anything(self, run: Run) -> None:
        document = run(lambda path: 70.0 if path.parent.name == "models" else 1.0, minutes=1)
        (member,) = document["front"]
        assert (member["trial"], member["metrics"]["speedup"]["ratio"]) == (0, 1.0)
        assert document["final"]
        assert document["ending"] == {
            "reason": "time", "text": "the budget of 1 min left no time for another one after 1 of 12 candidates",
        }  # fmt: skip
        assert "measuring the fp32 model 1 min 10 s" in spent_in_words(document["time_s"])

    def test_the_baseline_is_not_measured_twice(self, run: Run, store: Store) -> None:
        run(lambda path: 1.0, minutes=2)
        baseline = store.trials.of_job(run.job_id)[0]
        assert set(baseline.decisions.values()) == {"fp32"}
        assert store.trials.measurements(baseline.candidate_id) == []
        facts = (store.jobs.get(run.job_id).baseline or {})["facts"]
        assert baseline.artifact_sha256 == facts["model_sha256"], "or its export would disagree"

    def test_what_the_whole_model_gained_by_comes_first(self, run: Run, store: Store) -> None:
        document = run(lambda path: 7.0, minutes=1)
        first = store.trials.of_job(run.job_id)[1]
        assert set(first.decisions.values()) == {"int8"}
        assert document["front"][0]["trial"] == 1
        assert run.took_s <= promised_s(1)


class TestNoise:
    @pytest.mark.parametrize(("minutes", "most"), [(1, math.inf), (None, 0.1)])
    def test_no_noise_at_the_beginning_ends_a_job_that_has_no_time_to_wait(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, minutes: float | None, most: float
    ) -> None:
        widths: list[float] = []
        measure = SlowDevice.measure

        def noted(device: SlowDevice, request: LatencyRequest) -> Any:
            if request.candidate == request.baseline and request.candidate.parent.name == "models":
                widths.append(request.protocol.usable_width)
            return measure(device, request)

        monkeypatch.setattr(SlowDevice, "measure", noted)
        run(lambda path: 1.0, minutes=minutes, budget={"trials": 2} | ({"minutes": minutes} if minutes else {}))
        assert widths == [most]


class TestTelling:
    def test_phases_with_what_is_left_of_them(self, run: Run) -> None:
        run(lambda path: 2.0, minutes=2)
        phases = {phase for status in run.watcher.seen for phase in status.left_s}
        assert phases == {"preparing", "searching", "confirming"}
        searching = [status for status in run.watcher.seen if "searching" in status.left_s]
        assert all(status.seconds_left == sum(status.left_s.values()) for status in searching)
        assert all(status.left_s["confirming"] > 0 for status in searching)

    def test_where_the_time_went_is_kept(self, run: Run, store: Store) -> None:
        run(lambda path: 2.0, minutes=2)
        spent = job_document(store, run.job_id)["time_s"]
        assert {"preparing", "searching", "confirming"} < set(spent)
        assert sum(spent[phase] for phase in ("preparing", "searching", "confirming")) == pytest.approx(run.took_s)
        assert spent["parts"]["benchmarking precision"] > 0
        assert spent["parts"]["measuring the fp32 model"] >= 2.0


class TestDeadline:
    def test_a_device_is_asked_until_then(self) -> None:
        clock = FakeClock()
        slow = SlowDevice(lambda path: 2.0, clock, lambda path: 3.0)
        device = TimedDevice(slow, Deadline(clock.now + 5, clock))
        request = LatencyRequest(Path("a.onnx"), Path("b.onnx"), {}, Protocol(), limit_s=60)
        assert device.measure(request).ratio == 2.0
        with pytest.raises(NotAsked):
            device.measure(request)
        assert clock.now == 1005
        with pytest.raises(NotAsked):
            device.check_time()
        assert len(slow.asked) == 1

    def test_a_model_that_is_too_slow_in_itself_is_told_as_such(self) -> None:
        clock = FakeClock()
        device = TimedDevice(SlowDevice(lambda path: 2.0, clock, lambda path: 30.0), Deadline(clock.now + 50, clock))
        with pytest.raises(StageTimeout):
            device.measure(LatencyRequest(Path("a.onnx"), Path("b.onnx"), {}, Protocol(), limit_s=10))


class TestShares:
    def test_a_model_that_was_long_in_coming_is_asked_about_all_the_same(self) -> None:
        clock = FakeClock()
        budget = TimeBudget(100.0, clock=clock)
        assert budget.preparing.left_s == 40
        clock.spend(60)
        assert budget.preparing.left_s == pytest.approx(6)
        clock.spend(60)
        assert budget.preparing.is_over

    def test_the_search_leaves_time_for_the_final_measurements(self) -> None:
        clock = FakeClock()
        budget = TimeBudget(100.0, clock=clock)
        budget.learn_durations({"latency": 4.0, "beside": 1.0})
        before = budget.searching.left_s
        budget.expect(6)
        assert budget.searching.left_s < before
        budget.expect_s(66.0)
        assert budget.final_s > 66
        assert not budget.over_for_trials
        budget.add_trial(20.0)
        assert budget.over_for_trials

    def test_earlier_runs_of_a_job_count(self) -> None:
        clock = FakeClock()
        assert TimeBudget(100.0, 80.0, clock).end.left_s == pytest.approx(20)

    @pytest.mark.parametrize(("total_s", "most_s"), [(60, 3), (180, 9), (400, 20), (4000, 20), (1, 2)])
    def test_little_time_means_short_measurements(self, total_s: float, most_s: float) -> None:
        assert protocol_within(total_s).max_s == most_s

    def test_the_first_candidate_may_use_the_time_that_nothing_else_needs(self) -> None:
        clock = FakeClock()
        budget = TimeBudget(100.0, clock=clock)
        budget.learn_durations({"latency": 20.0})
        assert budget.giving_up.left_s == 96
        assert budget.searching.left_s < 55
        budget.expect(1)
        assert budget.giving_up == budget.searching
