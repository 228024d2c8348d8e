"""A remote device as a job sees it, with an agent that is played by a thread: what is asked, what comes back."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from inline_search import without_ray
from remote_host import BRIEF
from small_jobs import classifier, spec, write_classifier, write_two_classifiers

from evaluators.array_archive import pack_arrays
from evaluators.devices.device import LocalDevice
from evaluators.devices.request import FileRef, MeasurementRequest, answer_of
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.measuring.measurement import Measurement, pair_ratio
from evaluators.measuring.outputs import outputs_answer
from hwprofiles import Profile, digest_of_file, find_device
from hwprofiles.errors import (
    BuildFailed,
    DeviceUnavailable,
    InvalidInput,
    ParetuneError,
    ProcessCrashed,
    StageTimeout,
    StorageError,
    UnhealthyMeasurement,
    UnsupportedOp,
)
from hwprofiles.folders import data_folder
from search.artefacts.backend import object_name
from search.controller.controller import Controller
from search.controller.submission import submit
from search.devices import remote, store_transport
from search.devices.blobs import Blobs
from search.devices.link import DeviceLost, StoreLink
from search.devices.lookup import NO_AGENTS, DeviceRegistry, open_device
from search.devices.remote import RemoteDevice
from search.folders import default_database
from search.job.spec import parse_job
from search.states import JobState, RequestState, TrialState
from search.store import Store
from search.store.requests import RequestRow

SAMPLE = {"x": np.ones((1, 16), np.float32)}
OFFER = {"runtimes": ["onnxruntime"], "cores": [[1], [0, 1]]}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_transport, "_LOOK_S", 0.01)


@pytest.fixture
def profile(store: Store) -> Profile:
    """A device whose agent has registered."""
    found = replace(find_device("local-cpu"), device="pi", agent=True)
    store.agents.register("pi", store.agents.new_token("pi"), "first", found, OFFER)
    return found


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    return write_two_classifiers(tmp_path)


def link(purpose: str | None = "job search", away_s: float = 600.0) -> StoreLink:
    return StoreLink(default_database(), purpose, away_s)


@pytest.fixture
def device(profile: Profile) -> Iterator[RemoteDevice]:
    opened = RemoteDevice(profile, link())
    yield opened
    opened.close()


def measured(errand: MeasurementRequest, ratio: float = 2.0) -> dict[str, Any]:
    baseline, candidate, sessions = ((4.0,),) * 4, ((4.0 / ratio,),) * 4, (0, 0, 1, 1)
    found, interval = pair_ratio(baseline, candidate, sessions)
    record = Measurement(
        errand.profile_digest, errand.runtime, "1", baseline, candidate, sessions, found, interval, "stable"
    )
    return {"measurement": record.to_dict()}


def earlier_agent(errand: MeasurementRequest) -> dict[str, Any]:
    """As an agent answers that does not know what outputs are."""
    if errand.kind == "outputs":
        return answer_of(BuildFailed("errand: unknown kind 'outputs'"))
    return measured(errand) if errand.kind == "latency" else {"peak_memory_bytes": 4096}


class Agent(threading.Thread):
    """Answers errands with what ``answers`` gives, until the test is over."""

    def __init__(self, answers: Callable[[MeasurementRequest], dict[str, Any]]) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.answers, self.errands = answers, []  # type: ignore[var-annotated]

    def run(self) -> None:
        with Store(default_database()) as store:
            while not self.over.wait(0.01):
                row = store.requests.lease("pi", "first")
                if row is not None:
                    self._serve(store, row)

    def _serve(self, store: Store, row: RequestRow) -> None:
        errand = MeasurementRequest.from_dict(row.request)
        self.errands.append(errand)
        answer = self.answers(errand)
        error = answer.get("error")
        state = RequestState.DONE if error is None else RequestState.FAILED
        if error is not None and error["state"] == "unavailable":
            state = RequestState.REFUSED
        store.requests.finish("pi", "first", row.errand_id, row.epoch, state, answer)


@pytest.fixture
def agent(profile: Profile) -> Iterator[Callable[[Callable[[MeasurementRequest], dict[str, Any]]], Agent]]:
    started: list[Agent] = []

    def start(answers: Callable[[MeasurementRequest], dict[str, Any]] = measured) -> Agent:
        started.append(Agent(answers))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.over.set()
        one.join()


def measure(device: RemoteDevice, models: tuple[Path, Path], **options: Any) -> Measurement:
    return device.measure(LatencyRequest(*models, SAMPLE, **{"protocol": BRIEF, "limit_s": 60.0, **options}))


class TestAsking:
    def test_what_is_asked_is_names_hashes_and_numbers(
        self, device: RemoteDevice, agent: Any, models: tuple[Path, Path]
    ) -> None:
        working = agent()
        protocol = Protocol().quick()
        found = measure(device, models, protocol=protocol, limit_s=77.0)
        (errand,) = working.errands
        assert found.ratio == 2.0
        assert errand.baseline is not None
        assert [errand.baseline.sha256, errand.candidate.sha256] == list(map(digest_of_file, models))
        assert (errand.protocol, errand.limit_s, errand.runtime) == (protocol, 77.0, "onnxruntime")
        assert (errand.profile_digest, errand.threads, errand.batch) == (device.profile.digest, 1, 1)

    def test_its_files_are_there_to_fetch(self, device: RemoteDevice, agent: Any, models: tuple[Path, Path]) -> None:
        contents: list[bytes] = []

        def read(errand: MeasurementRequest) -> dict[str, Any]:
            paths = [Blobs().find(file.sha256) for file in errand.files]
            contents.extend(path.read_bytes() for path in paths if path is not None)
            return measured(errand)

        agent(read)
        measure(device, models)
        assert contents == [*(path.read_bytes() for path in models), pack_arrays(SAMPLE)]

    def test_memory(self, device: RemoteDevice, agent: Any, models: tuple[Path, Path]) -> None:
        working = agent(lambda errand: {"peak_memory_bytes": 4096})
        assert device.peak_memory_bytes(models[1], SAMPLE, limit_s=60.0) == 4096
        assert (working.errands[0].baseline, working.errands[0].protocol) == (None, None)

    @pytest.mark.parametrize("kind", [ProcessCrashed, UnsupportedOp, StageTimeout, BuildFailed])
    def test_what_the_agent_reports_is_raised(
        self, device: RemoteDevice, agent: Any, models: tuple[Path, Path], kind: type[ParetuneError]
    ) -> None:
        agent(lambda errand: answer_of(kind("what happened", "what to do")))
        with pytest.raises(kind, match="what happened") as caught:
            measure(device, models)
        assert caught.value.hint == "what to do"

    def test_what_the_device_cannot_do_is_no_failure_of_the_candidate(
        self, device: RemoteDevice, agent: Any, models: tuple[Path, Path]
    ) -> None:
        agent(lambda errand: answer_of(DeviceUnavailable("it is another device now", "start anew")))
        with pytest.raises(DeviceLost, match="another device now"):
            measure(device, models)

    def test_nonsense_is_a_failure_of_the_candidate(
        self, device: RemoteDevice, agent: Any, models: tuple[Path, Path]
    ) -> None:
        agent(lambda errand: {"measurement": {"ratio": 9000}})
        with pytest.raises(BuildFailed, match="cannot be read"):
            measure(device, models)


class TestOutputs:
    def test_they_come_back_as_they_were(self, device: RemoteDevice, agent: Any, models: tuple[Path, Path]) -> None:
        sent = {"y": np.array([[0.25, 0.75]], np.float32), "k": np.array([3])}
        working = agent(lambda errand: outputs_answer(sent))
        found = device.outputs(models[1], SAMPLE, limit_s=10.0, runtime="onnxruntime")
        assert found is not None
        assert {name: values.tolist() for name, values in found.items()} == {"y": [[0.25, 0.75]], "k": [3]}
        (errand,) = working.errands
        assert (errand.kind, errand.baseline, errand.protocol) == ("outputs", None, None)

    def test_an_agent_of_an_earlier_version(self, device: RemoteDevice, agent: Any, models: tuple[Path, Path]) -> None:
        agent(earlier_agent)
        assert device.outputs(models[1], SAMPLE, limit_s=10.0) is None

    def test_other_refusals_are_the_candidate_s(
        self, device: RemoteDevice, agent: Any, models: tuple[Path, Path]
    ) -> None:
        agent(lambda errand: answer_of(BuildFailed("output 'y' holds NaN or infinity")))
        with pytest.raises(BuildFailed, match="NaN"):
            device.outputs(models[1], SAMPLE, limit_s=10.0)

    def test_something_else(self, device: RemoteDevice, agent: Any, models: tuple[Path, Path]) -> None:
        agent(lambda errand: {"peak_memory_bytes": 1})
        with pytest.raises(BuildFailed, match="cannot be read"):
            device.outputs(models[1], SAMPLE, limit_s=10.0)


class TestOnce:
    """Who comes back for the same purpose is answered by what was measured already."""

    def test_a_resumed_job_measures_nothing_twice(
        self, profile: Profile, agent: Any, models: tuple[Path, Path]
    ) -> None:
        ratios = iter((2.0, 3.0, 4.0))
        working = agent(lambda errand: measured(errand, next(ratios)))
        found = []
        for _ in range(2):
            device = RemoteDevice(profile, link())
            found.append([measure(device, models).ratio for _ in range(2)])
            device.close()
        assert found == pytest.approx(np.array([[2.0, 3.0]] * 2))
        assert len(working.errands) == 2

    def test_another_purpose_measures_again(self, profile: Profile, agent: Any, models: tuple[Path, Path]) -> None:
        working = agent()
        for purpose in ("job search", "job final", None, None):
            device = RemoteDevice(profile, link(purpose))
            measure(device, models)
            device.close()
        assert len(working.errands) == 4

    def test_a_failure_is_remembered_too(self, profile: Profile, agent: Any, models: tuple[Path, Path]) -> None:
        working = agent(lambda errand: answer_of(ProcessCrashed("signal 11")))
        for _ in range(2):
            device = RemoteDevice(profile, link())
            with pytest.raises(ProcessCrashed):
                measure(device, models)
            device.close()
        assert len(working.errands) == 1

    def test_what_the_moment_kept_from_an_answer_is_asked_anew(
        self, profile: Profile, agent: Any, models: tuple[Path, Path]
    ) -> None:
        working = agent(lambda errand: answer_of(UnhealthyMeasurement("the interval is still wide")))
        for _ in range(2):
            device = RemoteDevice(profile, link())
            with pytest.raises(UnhealthyMeasurement):
                measure(device, models)
            device.close()
        assert len(working.errands) == 2

    def test_what_was_under_way_when_the_job_was_killed_is_waited_for(
        self, profile: Profile, store: Store, agent: Any, models: tuple[Path, Path]
    ) -> None:
        device = RemoteDevice(profile, link(away_s=0.0))
        with pytest.raises(DeviceLost):
            measure(device, models)
        device.close()
        working = agent()
        again = RemoteDevice(profile, link())
        assert measure(again, models).ratio == 2.0
        again.close()
        assert len(working.errands) == 1


class TestGone:
    def test_a_silent_agent_is_given_up_and_the_errand_kept(
        self, profile: Profile, store: Store, models: tuple[Path, Path]
    ) -> None:
        device = RemoteDevice(profile, link(away_s=0.0))
        with pytest.raises(DeviceLost, match="nothing was heard from the agent of device 'pi'") as caught:
            measure(device, models)
        assert isinstance(caught.value, DeviceUnavailable)
        assert store.requests.files() != set()
        device.close()

    def test_nobody_comes_back_for_a_single_question(
        self, profile: Profile, store: Store, models: tuple[Path, Path]
    ) -> None:
        device = RemoteDevice(profile, link(None, away_s=0.0))
        with pytest.raises(DeviceLost):
            measure(device, models)
        assert store.requests.files() == set()
        device.close()

    def test_a_sleep_of_this_machine_is_no_silence(
        self, profile: Profile, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [100.0]
        monkeypatch.setattr(
            store_transport, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: None)
        )
        watch = store_transport._Watch(store, "pi", away_s=600.0)
        watch.pause()
        now[0] += 1200.0
        watch.pause()
        assert watch.silent_s <= 10.0
        for _ in range(295):
            now[0] += 2.0
            watch.pause()
        now[0] += 2.0
        with pytest.raises(DeviceLost, match="for 602 s"):
            watch.pause()

    def test_a_clock_that_is_set_is_no_silence(
        self, profile: Profile, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watch = store_transport._Watch(store, "pi", away_s=600.0)
        row = store.agents.row("pi")
        assert row is not None
        monkeypatch.setattr(store.agents, "row", lambda name: replace(row, seen_at=datetime(2000, 1, 1, tzinfo=UTC)))
        watch.pause()
        assert watch.silent_s < 10.0

    def test_a_revoked_token(self, device: RemoteDevice, store: Store, models: tuple[Path, Path]) -> None:
        store.agents.revoke("pi")
        with pytest.raises(DeviceLost, match="was revoked"):
            measure(device, models)

    def test_an_agent_that_keeps_no_limit(
        self, device: RemoteDevice, store: Store, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_transport, "GRACE_S", 0.0)
        monkeypatch.setattr(store_transport, "SLOWEST_BYTES_S", 1e12)
        taken = threading.Thread(target=self._take, args=(store,))
        taken.start()
        with pytest.raises(StageTimeout, match=r"took longer than 0\.1 s"):
            measure(device, models, limit_s=0.1)
        taken.join()
        assert store.requests.files() == set()

    @pytest.mark.parametrize("why", ["leased anew", "absent", "a slow link"])
    def test_what_counts_against_no_limit(
        self, device: RemoteDevice, store: Store, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, why: str
    ) -> None:
        """Of 0.8 s with a limit of 0.5 s: an agent that was lost, one that was away, and files that travel slowly."""
        monkeypatch.setattr(store_transport, "GRACE_S", 0.0)
        monkeypatch.setattr(store_transport, "SLOWEST_BYTES_S", 100.0 if why == "a slow link" else 1e12)
        monkeypatch.setattr(store_transport, "LEASE_S", 0.1 if why == "absent" else 30.0)
        monkeypatch.setattr(store_transport, "_LOOK_AT_AGENT_S", 0.01)

        def work() -> None:
            row = self._take(store)
            for _ in range(4):
                time.sleep(0.2)
                row = self._take(store) if why == "leased anew" else row
            found = measured(MeasurementRequest.from_dict(row.request))
            store.requests.finish("pi", "first", row.errand_id, row.epoch, RequestState.DONE, found)

        working = threading.Thread(target=work)
        working.start()
        assert measure(device, models, limit_s=0.5).ratio == 2.0
        working.join()

    @staticmethod
    def _take(store: Store) -> RequestRow:
        while (row := store.requests.lease("pi", "first")) is None:
            time.sleep(0.01)
        return row


class TestRefusing:
    """What no agent would take is not even sent."""

    def test_what_is_no_model(self, device: RemoteDevice, store: Store, models: tuple[Path, Path]) -> None:
        models[1].write_bytes(b"not a model")
        with pytest.raises(BuildFailed, match="is not an ONNX model"):
            measure(device, models)
        assert store.requests.files() == set()

    def test_one_that_is_too_large(
        self, device: RemoteDevice, store: Store, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(remote, "MAX_MODEL_BYTES", 100)
        with pytest.raises(BuildFailed, match="more than the 100 that are allowed"):
            measure(device, models)
        assert store.requests.files() == set()

    def test_a_file_that_is_not_there(self, device: RemoteDevice, models: tuple[Path, Path]) -> None:
        models[1].unlink()
        with pytest.raises(BuildFailed, match="cannot be read"):
            measure(device, models)

    def test_a_runtime_that_its_agent_does_not_allow(
        self, device: RemoteDevice, store: Store, models: tuple[Path, Path]
    ) -> None:
        with pytest.raises(UnsupportedOp, match="'null' is not allowed on device 'pi'"):
            measure(device, models, runtime="null")
        assert store.requests.files() == set()

    def test_a_runtime_that_nobody_knows(self, device: RemoteDevice, models: tuple[Path, Path]) -> None:
        with pytest.raises(InvalidInput, match="unknown runtime 'abacus'"):
            measure(device, models, runtime="abacus")


class TestFiles:
    def test_what_was_sent_for_candidates_goes_with_the_device(
        self, profile: Profile, agent: Any, models: tuple[Path, Path]
    ) -> None:
        agent()
        device = RemoteDevice(profile, link())
        measure(device, models)
        device.close()
        left = {path.name for path in (data_folder() / "artefacts" / "agents").glob("??/??/*")}
        assert digest_of_file(models[0]) in left
        assert digest_of_file(models[1]) not in left

    def test_what_nobody_needs_goes_in_time(self, home: Path) -> None:
        blobs = Blobs()
        kept, idle = blobs.put_bytes(b"needed"), blobs.put_bytes(b"idle")
        blobs.prune({kept.sha256})
        assert blobs.find(idle.sha256) is not None
        blobs.prune({kept.sha256}, idle_s=-1)
        assert blobs.find(idle.sha256) is None
        assert blobs.find(kept.sha256) is not None

    def test_in_a_long_job_too(
        self, profile: Profile, agent: Any, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is still asked about stays, however long ago it was put there."""
        agent()
        device = RemoteDevice(profile, link())
        measure(device, models)
        for path in (data_folder() / "artefacts" / "agents").glob("??/??/*"):
            os.utime(path, (1000, 1000))
        earlier = digest_of_file(models[1])
        onnx.save(classifier(1, seed=2), models[1])
        monkeypatch.setattr(device._transport, "_prune_at", 0.0)
        measure(device, models)
        left = {path.name for path in (data_folder() / "artefacts" / "agents").glob("??/??/*")}
        assert left >= set(map(digest_of_file, models))
        assert earlier not in left
        pruned: list[object] = []
        monkeypatch.setattr(Blobs, "prune", pruned.append)
        measure(device, models)
        assert pruned == []
        device.close()

    def test_half_a_file_is_written_anew(self, home: Path) -> None:
        file = Blobs().put_bytes(b"weights")
        path = data_folder() / "artefacts" / "agents" / object_name(file.sha256)
        path.chmod(0o600)
        path.write_bytes(b"wei")
        assert not Blobs().touch(file)
        assert Blobs().put_bytes(b"weights") == file
        assert path.read_bytes() == b"weights"

    @pytest.mark.parametrize("place", ["search.artefacts.store.digest_of_file", "os.utime", "os.copy_file_range"])
    def test_a_disk_in_the_way(
        self, home: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        if place == "os.utime":
            Blobs().put(models[0])

        def fail(*_: Any) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(place, fail)
        with pytest.raises(StorageError, match="Input/output error"):
            Blobs().put(models[0])

    def test_nothing_but_digests_is_found(self, home: Path) -> None:
        data_folder().mkdir(parents=True, exist_ok=True)
        (data_folder() / "secret").write_text("x")
        for name in ("../secret", "secret", "", "/etc/passwd", "A" * 64):
            assert Blobs().find(name) is None


class TestLookingUp:
    def test_a_remote_device_is_what_its_agent_last_said(self, store: Store, profile: Profile) -> None:
        registry = DeviceRegistry(store)
        assert registry.find("pi") == replace(profile, cores=(1,))
        wide = registry.find("pi", 2, 8)
        assert (wide.threads, wide.batch, wide.cores) == (2, 8, (0, 1))
        assert wide.digest != profile.digest
        assert wide.agent

    def test_more_threads_than_it_has(self, store: Store, profile: Profile) -> None:
        with pytest.raises(DeviceUnavailable, match="3 threads requested, 2 cores available"):
            DeviceRegistry(store).find("pi", 3)

    def test_one_whose_agent_never_came(self, store: Store) -> None:
        store.agents.new_token("phone")
        with pytest.raises(DeviceUnavailable, match="no agent of device 'phone' has been here yet"):
            DeviceRegistry(store).find("phone")

    def test_one_that_was_revoked(self, store: Store, profile: Profile) -> None:
        store.agents.revoke("pi")
        with pytest.raises(DeviceUnavailable, match="was revoked"):
            DeviceRegistry(store).find("pi")

    def test_one_that_nobody_knows_is_compared_with_remote_ones_too(self, store: Store, profile: Profile) -> None:
        with pytest.raises(InvalidInput, match="unknown device 'pie'") as caught:
            DeviceRegistry(store).find("pie")
        assert caught.value.hint == "did you mean 'pi'?"

    def test_the_devices_of_this_machine_are_found_as_ever(self, store: Store, profile: Profile) -> None:
        for registry in (DeviceRegistry(store), NO_AGENTS):
            assert registry.find("local-cpu") == find_device("local-cpu")
        with pytest.raises(InvalidInput):
            NO_AGENTS.find("pi")

    def test_a_database_is_opened_only_for_what_is_not_of_this_machine(
        self, store: Store, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        missing = tmp_path / "missing.db"
        with DeviceRegistry.at(f"sqlite:///{missing}") as registry, pytest.raises(InvalidInput):
            registry.find("pi")
        assert not missing.exists()
        with DeviceRegistry.at(default_database()) as registry:
            assert [registry.find("pi").agent, registry.find("pi").agent] == [True, True]
            monkeypatch.setattr(Store, "__init__", None)
            assert registry.find("dry-run") == find_device("dry-run")
            assert registry.find("pi").agent, "opened once"

    def test_two_registries_at_once(self, store: Store, profile: Profile) -> None:
        """One does not see the devices of the other, as in a server of several users."""
        with DeviceRegistry.at(default_database()) as ours:
            assert ours.find("pi").agent
            with pytest.raises(InvalidInput):
                DeviceRegistry().find("pi")

    def test_opening(self, profile: Profile) -> None:
        opened = open_device(profile, link())
        assert isinstance(opened, RemoteDevice)
        opened.close()
        here = open_device(find_device("local-cpu"), link())
        assert isinstance(here, LocalDevice)
        here.close()

    def test_a_remote_device_is_never_measured_here_by_mistake(self, profile: Profile) -> None:
        with pytest.raises(DeviceUnavailable, match="is measured by its agent, not by this machine"):
            open_device(profile)


class TestInAJob:
    """A device that goes away stops the job and blames no candidate."""

    @pytest.fixture
    def job_id(self, store: Store, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        without_ray(monkeypatch, prepare_here=True)
        # Locks of the test's own: it waits for no measurement of anyone else.
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        write_classifier(tmp_path, layers=1)
        job = spec(
            devices=["pi"], strategy={"name": "random"}, budget={"trials": 4, "batch": 4}, limits={"device_s": 2.0},
            space={"precision": {"choices": ["fp32", "int8"], "activations": "uint8"}},
        )  # fmt: skip
        parsed = parse_job(job, folder=tmp_path, registry=DeviceRegistry(store))
        return submit(store, parsed, tmp_path)

    def test_it_stops_and_goes_on_where_it_was(self, store: Store, agent: Any, job_id: str) -> None:
        run_samples: list[MeasurementRequest] = []

        def answer(errand: MeasurementRequest) -> dict[str, Any]:
            run_samples.append(errand)
            measured = sum(row.state.measured for row in store.trials.of_job(job_id))
            if measured == 2 and errand.kind == "latency":
                working.over.set()
            return earlier_agent(errand)

        working = agent(answer)
        with pytest.raises(DeviceLost, match="nothing was heard from the agent") as caught:
            Controller(store, job_id).run()
        assert caught.value.exit_code == 5
        job = store.jobs.get(job_id)
        assert (job.state, job.error) == (JobState.FAILED, caught.value.message)
        before = store.trials.of_job(job_id)
        assert [row.state.finished for row in before] == [True, True, True, False]
        assert all(row.state is TrialState.DONE for row in before[:3])

        working = agent(answer)
        assert Controller(store, job_id).run() is JobState.DONE
        after = store.trials.of_job(job_id)
        assert [row.state for row in after] == [TrialState.DONE] * 4
        for row in after:
            phases = [m["phase"] for m in store.trials.measurements(row.candidate_id)]
            assert phases.count("search") == 1
            assert row.metrics["quality_from"] == "host"
            assert row.metrics["quality_check"] == "not compared: the agent is of an earlier version"

    def test_a_full_disk_stops_it_too(
        self, store: Store, agent: Any, job_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put = Blobs.put

        def full(blobs: Blobs, path: Path) -> FileRef:
            if any(row.state.finished for row in store.trials.of_job(job_id)):
                raise StorageError("no space left")
            return put(blobs, path)

        agent(earlier_agent)
        monkeypatch.setattr(Blobs, "put", full)
        with pytest.raises(ParetuneError, match=r"3 candidates in a row could not be judged, .* no space left"):
            Controller(store, job_id).run()
        assert {row.state for row in store.trials.of_job(job_id) if row.state.finished} == {TrialState.DONE}

    def test_one_that_never_answers_fails_the_preparation(self, store: Store, job_id: str) -> None:
        with pytest.raises(DeviceLost):
            Controller(store, job_id).run()
        assert (store.jobs.get(job_id).state, store.trials.of_job(job_id)) == (JobState.FAILED, [])


def test_a_link_does_not_show_the_password() -> None:
    secret = StoreLink("postgresql://me:hunter2@host/jobs")
    assert "hunter2" not in repr(secret)
