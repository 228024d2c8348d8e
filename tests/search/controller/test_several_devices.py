"""A job on several devices: built once, measured everywhere, a front for each and one of all together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anonymous import without_ids
from inline_search import with_devices
from number_formats import number_formats
from small_jobs import spec

from dashboards.documents.candidates import candidate_document
from dashboards.documents.front import front_document
from dashboards.documents.jobs import job_document
from dashboards.documents.trials import trials_document
from evaluators.testing.fake_device import FakeDevice, Speed
from hwprofiles import DEVICES, find_device
from hwprofiles.errors import InvalidInput, NotFound, ParetuneError, ProcessCrashed, UnsupportedOp
from search.controller.controller import Controller
from search.controller.failures import AllFailed
from search.controller.progress import Status, Watcher
from search.controller.scheduler import Scheduler
from search.devices.lookup import NO_AGENTS
from search.export import export
from search.export.bundle import MANIFEST, RECEIPT
from search.fronts.objectives import gains
from search.fronts.pareto import dominates
from search.job.facts import JobFacts
from search.job.profiles import profiles_of
from search.job.spec import Job, parse_job
from search.states import JobState, TrialState
from search.store import Store, digests_of
from search.trials.scoring import Scoring
from search.trials.trial import TrialRunner
from search.trials.workspace import Workspace

ONE, BATCH = "local-cpu-t1-b1", "local-cpu-t1-b8"
MEASURED = [{"name": "local-cpu"}, {"name": "local-cpu", "batch": 8}]
MODELLED = [{"name": "dry-run"}, {"name": "dry-run", "threads": 2, "batch": 8}]
SPACE = {"precision": {"choices": ["fp32", "int8"], "activations": "uint8"}}
Submit = Callable[..., str]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, FakeDevice]]:
    """Puts two devices in the place of this machine's, each as fast as it is told to be."""

    def make(one: Speed, batch: Speed) -> dict[str, FakeDevice]:
        profiles = [find_device("local-cpu"), find_device("local-cpu", batch=8)]
        made = [FakeDevice(speed, profile=profile) for speed, profile in zip((one, batch), profiles, strict=True)]
        devices = dict(zip((ONE, BATCH), made, strict=True))
        with_devices(monkeypatch, {device.profile.digest: device for device in devices.values()})
        return devices

    return make


def candidates_asked(device: FakeDevice) -> list[str]:
    """The files of candidates that a device measured, in order, and not layers or the baseline."""
    return [path.stem for path in device.asked if path.parent.parent.name == "jobs"]


def int8_is(ratio: float) -> Speed:
    """A device on which every file with int8 layers is as fast, and fp32 is 1."""
    return lambda path: ratio if number_formats(path) else 1.0


class TestMeasured:
    def run(self, store: Store, new_job: Submit, trials: int = 4, **fields: Any) -> str:
        job_id = new_job(**{"devices": MEASURED, "space": SPACE, "budget": {"trials": trials}} | fields)
        assert Controller(store, job_id).run() is JobState.DONE
        return job_id

    def test_built_once_and_measured_everywhere(
        self, store: Store, new_job: Submit, bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built: list[str] = []
        build = Workspace.build

        def counted(space: Workspace, decisions: Any, path: Path) -> Any:
            built.append(path.stem)
            return build(space, decisions, path)

        monkeypatch.setattr(Workspace, "build", counted)
        devices = bench(int8_is(2.0), int8_is(3.0))
        rows = store.trials.of_job(self.run(store, new_job))
        digests = [row.digest for row in rows]
        assert built == digests
        for device in devices.values():
            assert set(candidates_asked(device)) == set(digests)
        assert {row.metrics["speedup"]["ratio"] for row in rows[1:]} == {2.0}
        assert {row.metrics[f"speedup@{BATCH}"]["ratio"] for row in rows[1:]} == {3.0}
        assert all(row.metrics["devices"] == [ONE, BATCH] for row in rows)

    def test_records_say_which_profile_they_are_of(
        self, store: Store, new_job: Submit, bench: Callable[..., Any]
    ) -> None:
        bench(int8_is(2.0), int8_is(3.0))
        job_id = self.run(store, new_job, trials=2)
        digests = list(digests_of(store.jobs.get(job_id)).values())
        assert digests == [find_device("local-cpu").digest, find_device("local-cpu", batch=8).digest]
        assert [one["profile_digest"] for one in store.jobs.get(job_id).devices or []] == digests
        for row in store.trials.of_job(job_id):
            records = [
                (one["phase"], one["record"]["profile_digest"]) for one in store.trials.measurements(row.candidate_id)
            ]
            assert records == [(phase, digest) for phase in ("search", "again", "final") for digest in digests]
            measured = candidate_document(store, row.candidate_id)["measurements"]
            assert [one["device"] for one in measured] == [ONE, BATCH] * 3

    @pytest.mark.parametrize(("batch", "times"), [(8, 2), (1, 1)])
    def test_quality_is_taken_once_for_each_batch(
        self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch, batch: int, times: int
    ) -> None:
        """Dynamic quantisation takes its ranges from what is in one batch; threads change nothing."""
        monkeypatch.setattr("hwprofiles.probe.usable_cores", lambda: (0, 1))
        second = {"name": "local-cpu", "threads": 2, "batch": batch}
        profiles = [find_device("local-cpu"), find_device("local-cpu", 2, batch)]
        devices = [FakeDevice(int8_is(2.0), profile=profile) for profile in profiles]
        with_devices(monkeypatch, {device.profile.digest: device for device in devices})
        asked: Counter[str] = Counter()
        quality = Scoring.quality

        def counted(scoring: Scoring, path: Path, *arguments: Any) -> Any:
            asked[path.stem] += 1
            return quality(scoring, path, *arguments)

        monkeypatch.setattr(Scoring, "quality", counted)
        space = {"precision": {"choices": ["fp32", "int8_dynamic"]}}
        job_id = self.run(store, new_job, trials=2, devices=[{"name": "local-cpu"}, second], space=space)
        rows = store.trials.of_job(job_id)
        assert [asked[row.digest] for row in rows] == [times, times]
        label = f"local-cpu-t2-b{batch}"
        assert (f"cosine@{label}" in rows[1].metrics) is (times == 2)
        assert f"latency_ms@{label}" in rows[1].metrics

    def test_each_device_has_its_own_front(self, store: Store, new_job: Submit, bench: Callable[..., Any]) -> None:
        """int8 pays on one only: there it is on the front, on the other fp32 stands alone."""
        bench(int8_is(0.5), int8_is(3.0))
        document = front_document(store, self.run(store, new_job))
        fronts = document["fronts"]
        assert list(fronts) == [ONE, BATCH]
        assert [member["trial"] for member in fronts[ONE]["front"]] == [0]
        assert {member["trial"] for member in fronts[BATCH]["front"]} > {0}
        assert document["front"] == fronts[ONE]["front"]
        assert (document["device"], fronts[BATCH]["device"]) == (ONE, BATCH)
        assert fronts[BATCH]["baseline"]["metrics"]["speedup"]["ratio"] == 1.0
        assert fronts[BATCH]["hypervolume"]["value"] > fronts[ONE]["hypervolume"]["value"] == 0.0
        fast = fronts[BATCH]["front"][0]
        assert fast["metrics"]["speedup"]["ratio"] == 3.0
        assert not any("@" in name for name in fast["metrics"])
        joint = document["joint"]
        assert [o["metric"] for o in joint["objectives"]] == ["cosine", f"speedup@{ONE}", f"speedup@{BATCH}"]
        assert {member["trial"] for member in joint["front"]} >= {0, fast["trial"]}
        assert [one["final"] for one in (document, *fronts.values(), joint)] == [True] * 4

    def test_what_pays_on_one_device_is_in_the_space(
        self, store: Store, new_job: Submit, bench: Callable[..., Any]
    ) -> None:
        """The first device gains by nothing."""
        devices = bench(lambda path: 0.5 if number_formats(path) else 1.0, int8_is(3.0))
        job_id = self.run(store, new_job)
        decisions = (store.jobs.get(job_id).space or {})["decisions"]
        assert {tuple(decision["choices"]) for decision in decisions} == {("fp32", "int8")}
        answers = (store.jobs.get(job_id).baseline or {})["facts"]["device_answers"]
        assert {answer["device"] for answer in answers} == set(devices)

    def test_one_that_fails_on_a_device_stays_on_the_others(
        self, store: Store, new_job: Submit, bench: Callable[..., Any]
    ) -> None:
        def refusing(path: Path) -> float:
            if number_formats(path) and path.parent.parent.name == "jobs":
                raise UnsupportedOp("no kernel for this")
            return 1.0

        bench(refusing, int8_is(3.0))
        job_id = self.run(store, new_job, trials=2)
        row = store.trials.of_job(job_id)[1]
        assert row.state is TrialState.INFEASIBLE
        assert row.reason == f"no value for cosine, speedup@{ONE}; {ONE} unsupported_op: no kernel for this"
        assert row.metrics["failures"] == {ONE: {"state": "unsupported_op", "reason": "no kernel for this"}}
        assert "speedup" not in row.metrics
        document = front_document(store, job_id)
        assert [member["trial"] for member in document["fronts"][BATCH]["front"]] == [1, 0]
        assert [member["trial"] for member in document["front"]] == [0]
        assert [member["trial"] for member in document["joint"]["front"]] == [0]
        (seen,) = (one for one in trials_document(store, job_id)["trials"] if one["trial"] == 1)
        assert (seen["state"], seen["devices"][BATCH]["state"]) == ("unsupported_op", "done")
        standings = candidate_document(store, row.candidate_id)["devices"]
        assert (standings[ONE]["reason"], standings[BATCH]["on_front"]) == ("no kernel for this", True)
        records = store.trials.measurements(row.candidate_id)
        assert [one["phase"] for one in records] == ["search", "again", "final"]

    def test_one_that_fails_everywhere_has_failed(
        self, store: Store, new_job: Submit, bench: Callable[..., Any]
    ) -> None:
        def dying(path: Path) -> float:
            if number_formats(path) and path.parent.parent.name == "jobs":
                raise ProcessCrashed("its process died 3 times")
            return 2.0 if number_formats(path) else 1.0

        bench(dying, dying)
        with pytest.raises(AllFailed, match="1 x crashed: its process died 3 times"):
            self.run(store, new_job, trials=2)
        row = store.trials.of_job(store.jobs.get("small").job_id)[1]
        assert (row.state, row.reason, row.metrics) == (TrialState.CRASHED, "its process died 3 times", {})
        assert store.trials.measurements(row.candidate_id) == []

    def test_final_figures_replace_those_of_their_device(
        self, store: Store, new_job: Submit, bench: Callable[..., Any]
    ) -> None:
        times: Counter[Path] = Counter()

        def lucky_at_first(path: Path) -> float:
            if path.parent.parent.name != "jobs":
                return 2.0 if number_formats(path) else 1.0
            times[path] += 1
            return (9.0 if times[path] == 1 else 3.0) if number_formats(path) else 1.0

        bench(int8_is(2.0), lucky_at_first)
        row = store.trials.of_job(self.run(store, new_job, trials=2))[1]
        assert (row.metrics["speedup"]["ratio"], row.metrics[f"speedup@{BATCH}"]["ratio"]) == (2.0, 3.0)
        assert row.metrics["peak_memory_bytes"] == row.metrics[f"peak_memory_bytes@{BATCH}"]

    def test_an_interrupted_confirmation_repeats_nothing(
        self, store: Store, new_job: Submit, bench: Callable[..., Any]
    ) -> None:
        """Ctrl-C while the second candidate is finally measured on the second device, which has measured both twice."""
        asked: list[Path] = []

        def interrupted(path: Path) -> float:
            if path.parent.parent.name == "jobs":
                asked.append(path)
                if len(asked) == 6:
                    raise KeyboardInterrupt
            return 3.0 if number_formats(path) else 1.0

        bench(int8_is(2.0), interrupted)
        job_id = new_job(devices=MEASURED, space=SPACE, budget={"trials": 2})
        with pytest.raises(KeyboardInterrupt):
            Controller(store, job_id).run()
        digests = list(digests_of(store.jobs.get(job_id)).values())
        final = [self.final_records(store, row.candidate_id) for row in store.trials.of_job(job_id)]
        assert sorted(final) == sorted([digests, digests[:1]])
        assert Controller(store, job_id).run() is JobState.DONE
        assert [self.final_records(store, row.candidate_id) for row in store.trials.of_job(job_id)] == [
            digests,
            digests,
        ]

    def final_records(self, store: Store, candidate_id: str) -> list[str]:
        records = store.trials.measurements(candidate_id)
        return [one["record"]["profile_digest"] for one in records if one["phase"] == "final"]

    def test_one_that_fails_when_measured_again_leaves_that_front_only(
        self, store: Store, new_job: Submit, bench: Callable[..., Any]
    ) -> None:
        times: Counter[Path] = Counter()

        def dies_later(path: Path) -> float:
            times[path] += path.parent.parent.name == "jobs"
            if times[path] > 1 and number_formats(path):
                raise ProcessCrashed("its process died 3 times")
            return 2.0 if number_formats(path) else 1.0

        bench(int8_is(2.0), dies_later)
        job_id = self.run(store, new_job, trials=2)
        document = front_document(store, job_id)
        assert [member["trial"] for member in document["front"]] == [1, 0]
        assert [member["trial"] for member in document["fronts"][BATCH]["front"]] == [0]
        row = store.trials.of_job(job_id)[1]
        assert row.state is TrialState.INFEASIBLE
        assert not any(name.endswith(f"@{BATCH}") and name != f"intervals@{BATCH}" for name in row.metrics)

    def test_constraints_hold_where_they_are_asked(
        self, store: Store, new_job: Submit, bench: Callable[..., Any]
    ) -> None:
        bench(int8_is(2.0), int8_is(3.0))
        job_id = self.run(store, new_job, trials=2, constraints=["speedup >= 2.5", f"speedup@{ONE} <= 5"])
        row = store.trials.of_job(job_id)[1]
        assert (row.state, row.reason) == (TrialState.INFEASIBLE, "speedup >= 2.5")
        document = front_document(store, job_id)
        assert [member["trial"] for member in document["fronts"][BATCH]["front"]] == [1]
        assert document["fronts"][BATCH]["constraints"] == ["speedup >= 2.5"]
        assert (document["front"], document["nearest_miss"]["trial"]) == ([], 1)
        assert document["joint"]["nearest_miss"]["reason"] == "breaks speedup >= 2.5"

    def test_another_second_device_than_it_began_on(
        self, store: Store, new_job: Submit, bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from dataclasses import replace

        job_id = new_job(devices=MEASURED, space=SPACE)
        local = DEVICES["local-cpu"]
        monkeypatch.setitem(
            DEVICES, "local-cpu",
            lambda threads, batch: replace(local(threads, batch), runtime_version="0" if batch == 8 else "1"),
        )  # fmt: skip
        with pytest.raises(ParetuneError, match="no longer what this job measured on"):
            Controller(store, job_id).run()

    def test_an_export_names_its_device(
        self, store: Store, new_job: Submit, bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from inline_search import InlineSandbox

        bench(int8_is(2.0), int8_is(3.0))
        job_id = self.run(store, new_job, trials=2)
        fast = store.trials.of_job(job_id)[1].candidate_id
        monkeypatch.setattr(export, "Sandbox", InlineSandbox)
        for device, label, ratio in ((None, ONE, 2.0), (BATCH, BATCH, 3.0)):
            receipt = export.export_candidate(store, fast, tmp_path / label, device=device)
            assert (receipt["verdict"], receipt["device"]) == ("confirmed", label), receipt["findings"]
            assert receipt["latency"]["speedup"]["ratio"] == receipt["claimed"]["speedup"]["ratio"] == ratio
            assert receipt["profile"]["batch"] == (8 if label == BATCH else 1)
            manifest = json.loads((tmp_path / label / MANIFEST).read_text())
            assert manifest["device"] == label == json.loads((tmp_path / label / RECEIPT).read_text())["device"]
        one, other = (json.loads((tmp_path / label / MANIFEST).read_text()) for label in (ONE, BATCH))
        assert one["model_sha256"] == other["model_sha256"]
        with pytest.raises(InvalidInput, match="was not measured on device 'local-cpu'"):
            export.export_candidate(store, fast, tmp_path / "third", device="local-cpu")

    def test_no_export_for_a_device_that_a_candidate_fails_on(
        self, store: Store, new_job: Submit, bench: Callable[..., Any], tmp_path: Path
    ) -> None:
        def refusing(path: Path) -> float:
            if number_formats(path) and path.parent.parent.name == "jobs":
                raise UnsupportedOp("no kernel for this")
            return 1.0

        bench(refusing, int8_is(3.0))
        row = store.trials.of_job(self.run(store, new_job, trials=2))[1]
        with pytest.raises(InvalidInput, match=f"does not run on '{ONE}': no kernel for this"):
            export.export_candidate(store, row.candidate_id, tmp_path / "bundle")


def anonymous(document: dict[str, Any]) -> str:
    """A front without what is new in every job."""
    fronts = document, *document["fronts"].values(), document["joint"]
    names = {one["candidate_id"]: one["digest"] for front in fronts for one in front["front"] + front["contenders"]}
    return json.dumps(without_ids(document, names))


class TestModelled:
    def test_a_job_gives_the_same_fronts_again(self, store: Store, new_job: Submit) -> None:
        fronts = []
        for parallel in (1, 3):
            job_id = new_job(devices=MODELLED, budget={"trials": 40, "parallel": parallel})
            Controller(store, job_id).run()
            fronts.append(anonymous(front_document(store, job_id)))
        assert fronts[0] == fronts[1]

    def test_an_interrupted_one_too(self, store: Store, new_job: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
        """Controllers that end after ever more trials, as if they were killed; a fresh one goes on each time."""
        whole, parts = (new_job(devices=MODELLED, budget={"trials": 40}) for _ in range(2))
        Controller(store, whole).run()
        finish = Scheduler.finish
        left = 0

        def die_after_a_few(scheduler: Scheduler, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return finish(scheduler, *arguments, **options)

        monkeypatch.setattr(Scheduler, "finish", die_after_a_few)
        for trials in (0, 3, 9, 14):
            left = trials
            with pytest.raises(KeyboardInterrupt):
                Controller(store, parts).run()
        left = 1000
        assert Controller(store, parts).run() is JobState.DONE
        assert anonymous(front_document(store, parts)) == anonymous(front_document(store, whole))
        assert [row.digest for row in store.trials.of_job(parts)] == [row.digest for row in store.trials.of_job(whole)]

    def test_the_fronts_are_of_different_figures(self, store: Store, new_job: Submit) -> None:
        job_id = new_job(devices=MODELLED, budget={"trials": 40})
        Controller(store, job_id).run()
        document = front_document(store, job_id)
        one, other = document["fronts"].values()
        assert one["hypervolume"] != other["hypervolume"]
        latencies = [front["baseline"]["metrics"]["latency_ms"]["p50"] for front in (one, other)]
        assert latencies[0] != latencies[1]
        assert job_document(store, job_id)["devices"] == [
            {
                "device": label,
                "profile_digest": front["profile_digest"],
                "front_size": len(front["front"]),
                "best_speedup": front["front"][0]["metrics"]["speedup"]["ratio"],
                "baseline_health": None,
            }
            for label, front in document["fronts"].items()
        ]

    def test_nothing_on_the_joint_front_is_beaten_everywhere(self, store: Store, new_job: Submit) -> None:
        job_id = new_job(devices=MODELLED, budget={"trials": 40})
        Controller(store, job_id).run()
        job = Job.model_validate(store.jobs.get(job_id).spec)
        points = [gains(job.joint_objectives, row.metrics) for row in store.trials.of_job(job_id)]
        joint = [gains(job.joint_objectives, m["metrics"]) for m in front_document(store, job_id)["joint"]["front"]]
        assert joint
        assert not any(dominates(a, b) for b in joint for a in points if a is not None and b is not None)
        best = {p for p in points if p is not None and not any(q is not None and dominates(q, p) for q in points)}
        assert set(joint) == best

    def test_a_folded_objective_is_one(self, store: Store, new_job: Submit) -> None:
        objectives = [
            {"metric": "cosine", "direction": "max"},
            {"metric": "speedup", "direction": "max", "aggregate": "geomean"},
        ]
        job_id = new_job(devices=MODELLED, objectives=objectives)
        Controller(store, job_id).run()
        document = front_document(store, job_id)
        assert [o["metric"] for o in document["joint"]["objectives"]] == ["cosine", "speedup@geomean"]
        assert [o["metric"] for o in document["objectives"]] == ["cosine", "speedup"]
        assert document["joint"]["hypervolume"]["reference"]["speedup@geomean"] == 1.0

    def test_a_device_without_an_objective_of_its_own_has_the_others(self, store: Store, new_job: Submit) -> None:
        objectives = [{"metric": "speedup", "direction": "max", "device": "dry-run-t2-b8"}]
        job_id = new_job(devices=MODELLED, objectives=objectives)
        Controller(store, job_id).run()
        document = front_document(store, job_id)
        assert (document["front"], document["objectives"], document["nearest_miss"]) == ([], [], None)
        assert len(document["fronts"]["dry-run-t2-b8"]["front"]) == 1

    def test_one_device_may_be_looked_at_alone(self, store: Store, new_job: Submit) -> None:
        job_id = new_job(devices=MODELLED)
        Controller(store, job_id).run()
        alone = front_document(store, job_id, "dry-run-t2-b8")
        assert "fronts" not in alone
        assert (alone["device"], alone["profile_digest"]) == ("dry-run-t2-b8", find_device("dry-run", 2, 8).digest)
        assert alone["front"] == front_document(store, job_id)["fronts"]["dry-run-t2-b8"]["front"]
        points = trials_document(store, job_id, "dry-run-t2-b8")
        assert [o["metric"] for o in points["objectives"]] == ["cosine", "speedup"]
        with pytest.raises(NotFound) as caught:
            front_document(store, job_id, "dry-run")
        assert "'dry-run-t1-b1', 'dry-run-t2-b8'" in caught.value.hint

    def test_a_job_that_just_began_has_documents(self, store: Store, new_job: Submit) -> None:
        job_id = new_job(devices=MODELLED)
        document = front_document(store, job_id)
        assert [front["front"] for front in document["fronts"].values()] == [[], []]
        assert document["joint"]["front"] == trials_document(store, job_id)["trials"] == []


def test_watchers_are_told_of_the_first_front(store: Store, new_job: Submit) -> None:
    class Recorder(Watcher):
        def update(self, status: Status) -> None:
            seen.append(status)

    seen: list[Status] = []
    job_id = new_job(devices=MODELLED)
    Controller(store, job_id, Recorder()).run()
    assert seen[-1].front == len(front_document(store, job_id)["front"])


def test_runtimes_are_decided_for_each_device(tmp_path: Path) -> None:
    """The first device's decision is ``runtime``, another's has its label."""
    from search.trials.context import JobContext

    job = parse_job(spec(devices=MEASURED), folder=tmp_path)
    context = JobContext(job, str(tmp_path), profiles_of(job, NO_AGENTS))
    runner = TrialRunner(context, JobFacts(), tmp_path)
    decisions = {"runtime": "onnxruntime", f"runtime@{BATCH}": "openvino:bf16"}
    assert [runner.evaluator(label).runtime(decisions) for label in (ONE, BATCH)] == ["onnxruntime", "openvino:bf16"]
    assert runner.evaluator(BATCH).conditions({}) == ("onnxruntime", 8)
    runner.close()
