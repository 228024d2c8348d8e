"""A job from the queue to its front, without Ray: what the controller promises whoever works on the trials."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from anonymous import without_ids
from inline_search import run_trials, with_device

from dashboards.cli import run_app
from dashboards.documents.front import front_document
from dashboards.documents.jobs import job_document
from evaluators.measuring.latency import LatencyRequest
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import DEVICES
from hwprofiles.errors import InvalidInput, ParetuneError, ProcessCrashed, StorageError, UnhealthyMeasurement
from search.budget.time_budget import TimeBudget
from search.controller.controller import Controller
from search.controller.lease import LeaseKeeper
from search.controller.open_results import has_open_results
from search.controller.progress import Status, Watcher
from search.folders import job_folder
from search.states import JobState, TrialState
from search.store import JobBusy, Lease, StaleLease, Store, this_process

Submit = Callable[..., str]


class Recorder(Watcher):
    """Keeps what it is told; ``act`` is called with each status."""

    def __init__(self, act: Callable[[Status], None] = lambda status: None) -> None:
        self.seen: list[Status] = []
        self.act = act

    def update(self, status: Status) -> None:
        self.seen.append(status)
        self.act(status)


class Stop(Exception):
    """Something that nobody foresaw."""


def anonymous(document: dict[str, Any]) -> str:
    """A front without what is new in every job: ids and times."""
    names = {
        member["candidate_id"]: f"trial {member['trial']}" for member in document["front"] + document["contenders"]
    }
    return json.dumps(without_ids(document, names))


class TestDeterminism:
    def test_a_job_gives_the_same_front_again(self, store: Store, new_job: Submit) -> None:
        fronts = []
        for _ in range(2):
            job_id = new_job(budget={"trials": 40})
            Controller(store, job_id).run()
            fronts.append(anonymous(front_document(store, job_id)))
        assert fronts[0] == fronts[1]

    @pytest.mark.parametrize("strategy", ["nsga2", "random"])
    def test_the_order_of_finishing_changes_nothing(self, store: Store, new_job: Submit, strategy: str) -> None:
        decisions = []
        for parallel in (1, 3):
            job_id = new_job(budget={"trials": 30, "parallel": parallel}, strategy={"name": strategy})
            Controller(store, job_id).run()
            decisions.append([row.decisions for row in store.trials.of_job(job_id)])
        assert len(decisions[0]) == 30
        assert decisions[0] == decisions[1]

    def test_another_seed_gives_other_candidates(self, store: Store, new_job: Submit) -> None:
        decisions = []
        for seed in (0, 1):
            job_id = new_job(seed=seed, budget={"trials": 40})
            Controller(store, job_id).run()
            decisions.append([row.decisions for row in store.trials.of_job(job_id)])
        assert decisions[0] != decisions[1]


class TestBudget:
    def test_a_small_space_is_tried_once_over(self, store: Store, new_job: Submit) -> None:
        job_id = new_job(space={"precision": {"choices": ["fp32", "int8"]}}, budget={"trials": 100})
        watcher = Recorder()
        Controller(store, job_id, watcher).run()
        rows = store.trials.of_job(job_id)
        assert {status.trials for status in watcher.seen if status.phase == "searching"} == {2**4}
        assert job_document(store, job_id)["progress"]["planned"] == 2**4
        assert len({row.digest for row in rows}) == len(rows) == 2**4
        assert [row.number for row in rows] == list(range(16))

    @pytest.mark.parametrize("parallel", [1, 2, 3])
    def test_out_of_time_within_a_block(
        self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch, parallel: int
    ) -> None:
        job_id = new_job(budget={"trials": 40, "minutes": 1, "parallel": parallel})

        def finished() -> int:
            return sum(row.state.finished for row in store.trials.of_job(job_id))

        monkeypatch.setattr(TimeBudget, "over_for_trials", property(lambda budget: finished() >= 3))
        assert Controller(store, job_id).run() is JobState.DONE
        assert 3 <= finished() <= 3 + parallel
        document = front_document(store, job_id)
        assert document["front"]
        assert document["final"]
        assert all(row.state.finished for row in store.trials.of_job(job_id))

    def test_no_time_at_all_still_ends_well(self, store: Store, new_job: Submit) -> None:
        job_id = new_job(budget={"trials": 40, "minutes": 1e-9})
        assert Controller(store, job_id).run() is JobState.DONE
        document = front_document(store, job_id)
        (member,) = document["front"]
        assert (member["trial"], document["nearest_miss"]) == (0, None)
        assert document["ending"]["reason"] == "time"
        assert document["baseline"]["metrics"]["latency_ms"]["p50"] > 0


class TestInfeasible:
    def test_nothing_feasible_gives_the_nearest_miss(self, store: Store, new_job: Submit) -> None:
        job_id = new_job(constraints=["speedup >= 100"])
        assert Controller(store, job_id).run() is JobState.DONE
        document = front_document(store, job_id)
        assert document["front"] == []
        assert document["trials"]["infeasible"] == 16
        miss = document["nearest_miss"]
        fastest = max(store.trials.of_job(job_id), key=lambda row: row.metrics["speedup"]["ratio"])
        assert (miss["candidate_id"], miss["reason"]) == (fastest.candidate_id, "breaks speedup >= 100")
        assert {row.state for row in store.trials.of_job(job_id)} == {TrialState.INFEASIBLE}

    def test_a_metric_that_nothing_gives_is_refused_before_the_search(self, store: Store, new_job: Submit) -> None:
        job_id = new_job(objectives=[{"metric": "wit", "direction": "max"}])
        with pytest.raises(InvalidInput, match=r"objectives\.0: .* 'wit'") as caught:
            Controller(store, job_id).run()
        assert "cosine" in caught.value.hint
        assert store.jobs.get(job_id).state is JobState.FAILED
        assert store.trials.of_job(job_id) == []


class TestInterruption:
    def test_it_is_resumed_to_the_same_front(self, store: Store, new_job: Submit) -> None:
        whole, parts = new_job(), new_job()
        Controller(store, whole).run()

        def interrupt(status: Status) -> None:
            if status.finished:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Controller(store, parts, Recorder(interrupt)).run()
        before = store.jobs.get(parts)
        assert before.state is JobState.INTERRUPTED
        recorded = [row for row in store.trials.of_job(parts) if row.state.finished]
        assert 0 < len(recorded) < 16
        assert Controller(store, parts).run() is JobState.DONE
        assert anonymous(front_document(store, parts)) == anonymous(front_document(store, whole))
        assert store.trials.of_job(parts)[: len(recorded)] == recorded
        assert store.jobs.get(parts).wall_s > before.wall_s

    def test_a_failed_preparation_is_resumed_once_mended(self, store: Store, new_job: Submit, tmp_path: Path) -> None:
        job_id = new_job()
        (tmp_path / "samples.npz").rename(tmp_path / "elsewhere.npz")
        with pytest.raises(InvalidInput, match=r"samples\.npz does not exist"):
            Controller(store, job_id).run()
        failed = store.jobs.get(job_id)
        assert (failed.state, failed.finished_at is not None) == (JobState.FAILED, True)
        assert "samples.npz" in (failed.error or "")
        assert failed.hint
        (tmp_path / "elsewhere.npz").rename(tmp_path / "samples.npz")
        assert Controller(store, job_id).run() is JobState.DONE
        assert store.jobs.get(job_id).error is None

    def test_the_unforeseen_leaves_the_job_failed(
        self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise Stop("no more processes can be started")

        job_id = new_job()
        monkeypatch.setattr("search.controller.worker_pool.run_trials", fail)
        with pytest.raises(Stop):
            Controller(store, job_id).run()
        failed = store.jobs.get(job_id)
        assert failed.state is JobState.FAILED
        assert "no more processes" in (failed.error or "")
        monkeypatch.setattr("search.controller.worker_pool.run_trials", run_trials)
        assert Controller(store, job_id).run() is JobState.DONE

    def test_another_device_than_it_began_on(
        self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job_id = new_job()
        dry_run = DEVICES["dry-run"]
        monkeypatch.setitem(
            DEVICES, "dry-run", lambda threads, batch: replace(dry_run(threads, batch), runtime_version="2")
        )
        with pytest.raises(ParetuneError, match="no longer what this job measured on"):
            Controller(store, job_id).run()


class Plan:
    """The speed-up of each trial, one figure for each time that it is measured, the last one for all later times."""

    def __init__(self, speeds: Mapping[int, Sequence[float | Exception]]) -> None:
        self.speeds, self.times, self.order = speeds, Counter[str](), list[str]()

    def __call__(self, path: Path) -> float:
        if path.parent.name != "jobs" and path.parent.parent.name != "jobs":
            return 1.0 if path.parent.name == "models" else 2.0  # the baseline itself, or a single layer
        if path.stem not in self.times:
            self.order.append(path.stem)
        self.times[path.stem] += 1
        figures = self.speeds[self.order.index(path.stem)]
        figure = figures[min(self.times[path.stem], len(figures)) - 1]
        if isinstance(figure, Exception):
            raise figure
        return figure


class TestFinalMeasurements:
    """A front rests on figures that nobody selected for luck."""

    @pytest.fixture
    def front_of(
        self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[Mapping[int, Sequence[float | Exception]]], dict[str, Any]]:
        """Runs a job of four candidates, from no int8 to more and more, on a device that answers as planned."""

        def run(speeds: Mapping[int, Sequence[float | Exception]], **fields: Any) -> dict[str, Any]:
            with_device(monkeypatch, FakeDevice(Plan(speeds)))
            space = {"precision": {"choices": ["fp32", "int8"], "activations": "uint8"}}
            fields = {"devices": ["local-cpu"], "space": space, "budget": {"trials": len(speeds)}} | fields
            job_id = new_job(**fields)
            assert Controller(store, job_id).run() is JobState.DONE
            return front_document(store, job_id)

        return run

    def test_they_replace_what_the_search_saw(
        self, store: Store, front_of: Callable[..., dict[str, Any]], home: Path
    ) -> None:
        document = front_of({0: [1.0], 1: [9.0, 3.0]})
        assert document["final"]
        assert [member["trial"] for member in document["front"]] == [1, 0]
        fast = document["front"][0]
        assert fast["metrics"]["speedup"]["ratio"] == 3.0
        assert fast["metrics"]["peak_memory_bytes"] > 0
        phases = [measured["phase"] for measured in store.trials.measurements(fast["candidate_id"])]
        assert phases == ["search", "again", "final"]
        files = {path.stem for path in (home / "jobs" / document["job_id"]).glob("*.onnx")}
        assert files == {member["digest"] for member in document["front"]}

    def test_how_well_latencies_are_predicted_is_stored(
        self, store: Store, front_of: Callable[..., dict[str, Any]]
    ) -> None:
        document = front_of({number: [1.0 + number] for number in range(4)})
        (found,) = document["prediction"].values()
        assert found["layers"] == 4
        assert 0 < found["plain"]["n"] <= 4
        assert found["corrected"] is None
        assert document["prediction"] == store.jobs.get(document["job_id"]).prediction

    def test_one_that_was_fast_by_luck_leaves_the_front(
        self, store: Store, front_of: Callable[..., dict[str, Any]]
    ) -> None:
        document = front_of({0: [1.0], 1: [9.0, 0.5]})
        assert [member["trial"] for member in document["front"]] == [0]
        rows = store.trials.of_job(document["job_id"])
        assert rows[1].metrics["speedup"]["ratio"] == 0.5

    def test_one_that_crashes_when_measured_again_is_a_failure(
        self, store: Store, front_of: Callable[..., dict[str, Any]]
    ) -> None:
        document = front_of({0: [1.0], 1: [9.0, ProcessCrashed("measuring: its process died 3 times")]})
        assert [member["trial"] for member in document["front"]] == [0]
        assert [document["trials"][state] for state in ("done", "failed", "infeasible")] == [1, 1, 0]
        crashed = store.trials.of_job(document["job_id"])[1]
        assert (crashed.state, crashed.reason) == (TrialState.CRASHED, "measuring: its process died 3 times")
        assert crashed.metrics == {}

    def test_a_contender_is_measured_with_the_members(
        self, store: Store, front_of: Callable[..., dict[str, Any]]
    ) -> None:
        """Trials 2 and 3 are as fast as trial 1 within 1 %, and of other quality."""
        speed_alone = [{"metric": "speedup", "direction": "max"}]
        document = front_of({0: [1.0], 1: [3.0, 3.0], 2: [2.99, 3.2], 3: [2.98, 2.98]}, objectives=speed_alone)
        assert [member["trial"] for member in document["front"]] == [2]
        assert document["front"][0]["metrics"]["speedup"]["ratio"] == 3.2
        times = [len(store.trials.measurements(row.candidate_id)) for row in store.trials.of_job(document["job_id"])]
        assert times == [1, 2, 3, 2]

    def test_what_no_interval_separates_is_tied(self, front_of: Callable[..., dict[str, Any]]) -> None:
        speed_alone = [{"metric": "speedup", "direction": "max"}]
        document = front_of({0: [1.0], 1: [3.0], 2: [2.99], 3: [2.0]}, objectives=speed_alone)
        (member,) = document["front"]
        (contender,) = document["contenders"]
        assert (member["trial"], contender["trial"]) == (1, 2)
        assert member["tied_with"] == [contender["candidate_id"]]

    def test_a_constraint_broken_by_the_later_figure_counts(
        self, store: Store, front_of: Callable[..., dict[str, Any]]
    ) -> None:
        document = front_of({0: [1.0], 1: [9.0, 1.5]}, constraints=["speedup >= 2"])
        assert document["front"] == []
        assert document["nearest_miss"]["trial"] == 1
        assert {row.state for row in store.trials.of_job(document["job_id"])} == {TrialState.INFEASIBLE}


class TestTroubleInTheEnd:
    """What a noisy minute keeps from being measured again keeps the search's figures, and says so."""

    NOISE = UnhealthyMeasurement("the interval is still wide", "quieten the machine")
    SPEED_ALONE: ClassVar[list[dict[str, str]]] = [{"metric": "speedup", "direction": "max"}]

    @pytest.fixture
    def job_of(self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
        """Queues a job of as many candidates as are planned."""

        def create(speeds: Mapping[int, Sequence[float | Exception]], **fields: Any) -> str:
            with_device(monkeypatch, FakeDevice(Plan(speeds)))
            space = {"precision": {"choices": ["fp32", "int8"], "activations": "uint8"}}
            fields = {"devices": ["local-cpu"], "space": space, "budget": {"trials": len(speeds)}} | fields
            return new_job(**fields)

        return create

    def test_a_member_keeps_its_figures_and_is_unconfirmed(self, store: Store, job_of: Callable[..., str]) -> None:
        job_id = job_of({0: [1.0], 1: [3.0, self.NOISE]})
        assert Controller(store, job_id).run() is JobState.DONE
        document = front_document(store, job_id)
        assert document["final"]
        assert [(m["trial"], m["confirmed"]) for m in document["front"]] == [(1, False), (0, True)]
        noisy = document["front"][0]
        assert noisy["metrics"]["speedup"]["ratio"] == 3.0
        assert (noisy["state"], noisy["unconfirmed"]) == ("done", "the interval is still wide")
        assert [m["phase"] for m in store.trials.measurements(noisy["candidate_id"])] == ["search"]
        assert has_open_results(store, job_id)

    def test_it_is_tried_once_more_in_the_end(self, store: Store, job_of: Callable[..., str]) -> None:
        job_id = job_of({0: [1.0], 1: [3.0, self.NOISE, 2.8, 2.9]})
        Controller(store, job_id).run()
        fast = front_document(store, job_id)["front"][0]
        assert (fast["confirmed"], fast["unconfirmed"], fast["metrics"]["speedup"]["ratio"]) == (True, None, 2.9)
        assert not has_open_results(store, job_id)

    def test_a_resumed_job_measures_it_again_and_searches_no_more(
        self, store: Store, job_of: Callable[..., str]
    ) -> None:
        job_id = job_of({0: [1.0], 1: [3.0, self.NOISE, self.NOISE, 2.8, 2.9]})
        Controller(store, job_id).run()
        before = store.trials.of_job(job_id)
        assert Controller(store, job_id).run() is JobState.DONE
        fast = front_document(store, job_id)["front"][0]
        assert (fast["confirmed"], fast["metrics"]["speedup"]["ratio"]) == (True, 2.9)
        assert [row.digest for row in store.trials.of_job(job_id)] == [row.digest for row in before]

    def test_the_command_line_says_so_and_resumes_it(
        self, store: Store, job_of: Callable[..., str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        job_id = job_of({0: [1.0], 1: [3.0, self.NOISE, self.NOISE, 2.8, 2.9]})
        Controller(store, job_id).run()
        assert run_app(["front", job_id]) == 0
        said = capsys.readouterr().out
        assert "not confirmed, figures of the search" in said
        assert f"(the interval is still wide); measure again with: paretune resume {job_id}" in said
        assert run_app(["resume", job_id]) == 0
        assert "not confirmed" not in capsys.readouterr().out
        assert run_app(["resume", job_id]) == 0
        assert "is done already" in capsys.readouterr().err

    def test_several_in_a_row_end_the_final_measurements(self, store: Store, job_of: Callable[..., str]) -> None:
        speeds = {number: [3.0 - number / 100, self.NOISE] for number in range(5)}
        job_id = job_of(speeds, objectives=self.SPEED_ALONE)
        watcher = Recorder()
        assert Controller(store, job_id, watcher).run() is JobState.DONE
        (member,) = front_document(store, job_id)["front"]
        assert (member["trial"], member["metrics"]["speedup"]["ratio"]) == (0, 3.0)
        assert member["unconfirmed"] == "the interval is still wide"
        assert sum(status.message.startswith("re-measuring the front") for status in watcher.seen) == 3

    def test_a_full_disk_is_no_failure_of_the_candidate(self, store: Store, job_of: Callable[..., str]) -> None:
        job_id = job_of({0: [1.0], 1: [3.0, StorageError("no space is left on the disk")]})
        Controller(store, job_id).run()
        fast = front_document(store, job_id)["front"][0]
        assert (fast["trial"], fast["unconfirmed"]) == (1, "no space is left on the disk")

    def test_a_contender_that_cannot_be_measured_remains_one(self, store: Store, job_of: Callable[..., str]) -> None:
        job_id = job_of({0: [1.0], 1: [3.0], 2: [2.99, self.NOISE]}, objectives=self.SPEED_ALONE)
        Controller(store, job_id).run()
        document = front_document(store, job_id)
        assert [(m["trial"], m["confirmed"]) for m in document["front"]] == [(1, True)]
        assert [contender["trial"] for contender in document["contenders"]] == [2]

    def test_what_the_search_put_off_is_tried_again(self, store: Store, job_of: Callable[..., str]) -> None:
        job_id = job_of({0: [1.0], 1: [self.NOISE, 3.0, 3.1, 3.2]})
        Controller(store, job_id).run()
        fast = front_document(store, job_id)["front"][0]
        assert (fast["trial"], fast["confirmed"], fast["metrics"]["speedup"]["ratio"]) == (1, True, 3.2)
        assert [m["phase"] for m in store.trials.measurements(fast["candidate_id"])] == ["search", "again", "final"]

    def test_what_is_put_off_to_the_end_stays_pending(self, store: Store, job_of: Callable[..., str]) -> None:
        job_id = job_of({0: [1.0], 1: [self.NOISE]})
        assert Controller(store, job_id).run() is JobState.DONE
        document = front_document(store, job_id)
        assert [m["trial"] for m in document["front"]] == [0]
        assert (document["trials"]["pending"], document["trials"]["failed"]) == (1, 0)
        row = store.trials.of_job(job_id)[1]
        assert (row.state, row.reason) == (TrialState.PENDING, "the interval is still wide")
        assert has_open_results(store, job_id)

    def test_several_in_a_row_stop_the_search_and_it_is_resumed(self, store: Store, job_of: Callable[..., str]) -> None:
        job_id = job_of({n: [*([self.NOISE] if n else []), 1.0 + n] for n in range(4)})
        with pytest.raises(ParetuneError, match="3 candidates in a row could not be judged"):
            Controller(store, job_id).run()
        failed = store.jobs.get(job_id)
        assert failed.state is JobState.FAILED
        assert f"quieten the machine; they stay pending: go on with paretune resume {job_id}" in (failed.hint or "")
        assert Controller(store, job_id).run() is JobState.DONE
        assert {row.state for row in store.trials.of_job(job_id)} == {TrialState.DONE}
        assert [m["trial"] for m in front_document(store, job_id)["front"]] == [3, 0]

    def test_a_figure_that_is_asked_for_and_cannot_be_had_this_time(
        self, store: Store, job_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Energy is counted on a healthy machine only: its lack is the moment's."""
        times = Counter[Path]()
        measure = FakeDevice.measure

        def counted(device: FakeDevice, request: LatencyRequest) -> Any:
            found, candidate = measure(device, request), request.candidate
            times[candidate] += 1
            if times[candidate] > 1 and candidate.parent.parent.name == "jobs":
                return found
            return replace(found, energy_mj={"baseline": 2.0, "candidate": 1.0, "source": "rapl"})

        monkeypatch.setattr(FakeDevice, "measure", counted)
        job_id = job_of({0: [1.0], 1: [3.0]}, constraints=["energy_mj <= 5"])
        Controller(store, job_id).run()
        document = front_document(store, job_id)
        assert [m["confirmed"] for m in document["front"]] == [False, False]
        assert document["front"][0]["unconfirmed"] == "no energy_mj could be had this time"
        assert document["front"][0]["metrics"]["energy_mj"] > 0, "that of the search"

    def test_out_of_time(self, store: Store, job_of: Callable[..., str]) -> None:
        """Every member is on the front, with the search's figures where there was no time for others."""
        job_id = job_of({0: [1.0], 1: [3.0, 2.0]})
        controller = Controller(store, job_id)
        asked = iter([False, False, True, True, True, True])
        confirmation = controller._confirmation

        def hurried(job: Any) -> Any:
            found = confirmation(job)
            found._is_over = lambda: next(asked, True)
            return found

        controller._confirmation = hurried  # type: ignore[method-assign]
        assert controller.run() is JobState.DONE
        document = front_document(store, job_id)
        assert [m["confirmed"] for m in document["front"]] == [False, False]
        assert {m["unconfirmed"] for m in document["front"]} == {"no time was left to measure it again"}

    def test_how_long_it_will_take(self, store: Store, job_of: Callable[..., str]) -> None:
        """Two members twice and a contender once, by what they took in the search."""
        job_id = job_of({0: [1.0], 1: [3.0], 2: [2.99]}, objectives=self.SPEED_ALONE)
        controller = Controller(store, job_id)
        estimates: list[tuple[float, list[float]]] = []
        finalise = controller._finalise

        def ask(job: Any, results: Any) -> None:
            rows = store.trials.of_job(job_id)
            seconds = [store.trials.measurements(row.candidate_id)[0]["record"]["measuring_s"] for row in rows]
            estimates.append((controller._confirmation(job).estimate_s(rows, job.fronts(rows)), seconds))
            finalise(job, results)

        controller._finalise = ask  # type: ignore[method-assign]
        controller.run()
        ((estimated, seconds),) = estimates
        assert estimated == pytest.approx(2 * seconds[1] + seconds[2])


class TestLease:
    def test_a_job_that_is_run_is_refused(self, store: Store, new_job: Submit) -> None:
        job_id = new_job()
        store.jobs.lease(job_id, this_process() | {"host": "elsewhere.example", "pid": 7})
        with pytest.raises(JobBusy, match=r"process 7@elsewhere\.example"):
            Controller(store, job_id).run()
        assert store.jobs.get(job_id).state is JobState.QUEUED

    def test_a_controller_that_lost_its_lease_writes_nothing_more(
        self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job_id = new_job(budget={"trials": 40})
        taken = []

        def take_over(status: Status) -> None:
            if status.finished and not taken:
                monkeypatch.setattr("search.store.jobs.is_dead", lambda owner: True)
                taken.append(store.jobs.lease(job_id, this_process() | {"pid": 1}))

        with pytest.raises(StaleLease):
            Controller(store, job_id, Recorder(take_over)).run()
        rows = store.trials.of_job(job_id)
        assert sum(row.state.finished for row in rows) < 40
        assert store.jobs.get(job_id).state is JobState.RUNNING
        store.jobs.set_state(taken[0], JobState.INTERRUPTED)

    def test_a_database_that_cannot_be_reached_for_a_while_does_not_end_the_lease(
        self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keeper, renewals = LeaseKeeper(store, new_job()), []

        def renew(lease: Lease, lease_s: float) -> None:
            renewals.append(lease_s)
            if len(renewals) < 3:
                raise StorageError("database jobs.db: database is locked")
            if len(renewals) == 5:
                raise StaleLease("taken over", "")

        monkeypatch.setattr(store.jobs, "renew", renew)
        monkeypatch.setattr("search.controller.lease.RENEW_S", 0.0)
        monkeypatch.setattr("search.controller.lease.LOOK_S", 0.0)
        keeper.renew_until(threading.Event())
        assert len(renewals) == 5
        assert keeper.is_lost


class TestTelling:
    def test_a_watcher_sees_phases_counts_and_time_left(self, store: Store, new_job: Submit) -> None:
        watcher = Recorder()
        Controller(store, new_job(), watcher).run()
        phases = [status.phase for status in watcher.seen]
        assert list(dict.fromkeys(phases)) == ["preparing", "searching"]
        counts = [status.finished for status in watcher.seen if status.finished]
        assert counts == sorted(counts)
        last = watcher.seen[-1]
        assert (last.trials, last.finished, last.failed, last.seconds_left) == (16, 16, 0, 0)
        assert last.front > 0
        assert last.best_speedup is not None
        assert dict(last.states) == {"done": 16}

    def test_versions_of_the_front_are_kept(
        self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("search.controller.trial_search.REPORT_EVERY_S", 0.0)
        job_id = new_job()
        Controller(store, job_id).run()
        versions = []
        while (front := store.fronts.get(job_id, len(versions) + 1)) is not None:
            versions.append(front)
        assert len(versions) > 2
        volumes = [version["hypervolume"]["value"] for version in versions]
        assert volumes == sorted(volumes)
        assert [version["final"] for version in versions] == [False] * (len(versions) - 1) + [True]


def test_a_modelled_job_leaves_no_files(store: Store, new_job: Submit) -> None:
    job_id = new_job()
    Controller(store, job_id).run()
    assert list(job_folder(job_id).glob("*.onnx")) == []
