"""What holds for every service: on a database, and on a server that is asked over HTTP."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import Databases
from small_jobs import write_classifier

from dashboards.server import background
from dashboards.service import Service
from dashboards.service.connection import Connection
from dashboards.service.local import LocalService
from dashboards.service.remote import RemoteService
from hwprofiles import digest_of_file
from hwprofiles.errors import DeviceUnavailable, InvalidInput, NotFound, StorageError
from search.artefacts.store import ArtefactStore
from search.folders import job_folder
from search.states import JobState
from search.store import StaleLease, Store, this_process

DRY_RUN = {"target": "digits", "options": {"devices": ["dry-run"], "trials": 4}}


@pytest.fixture(params=["of a database", "of a PostgreSQL database", "of a server"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, databases: Databases) -> Iterator[Store]:
    url = databases.create("postgresql" if "PostgreSQL" in kind else "sqlite")
    with Store(url) as opened:
        yield opened
    databases.drop(url)


@pytest.fixture
def service(kind: str, store: Store) -> Iterator[Service]:
    if "database" in kind:
        yield LocalService(store, trusted=False)
        return
    with background(store) as address, RemoteService(address) as remote:
        yield remote


def state_of(service: Service, job: str) -> str:
    return str(service.job(job)["state"])


class TestSubmitting:
    def test_a_task(self, service: Service) -> None:
        job = service.submit(DRY_RUN | {"priority": 3})
        assert (job["state"], job["name"], job["priority"], job["detached"]) == ("queued", "digits", 3, True)
        assert (job["device"], job["submitted_by"], job["project"]) == ("dry-run", "local", "default")
        assert job["plan"] == [
            "up to 4 candidates (--trials)",
            "objectives: accuracy and speedup (default; the task has labels)",
        ]
        assert state_of(service, job["job_id"]) == "queued"

    def test_why_it_waits(self, service: Service, store: Store) -> None:
        first = service.submit(DRY_RUN)
        assert first["waiting"] == "no worker runs; start one with: paretune worker"
        second = service.submit(DRY_RUN | {"after": [first["job_id"]]})["job_id"]
        store.workers.add(this_process(), 1)
        waiting = {job["job_id"]: job["waiting"] for job in service.jobs()["jobs"]}
        assert waiting == {
            first["job_id"]: "a worker takes it in a moment", second: f"it waits for job {first['job_id']} (queued)"
        }  # fmt: skip
        assert service.job(second)["waiting"] == waiting[second]
        assert service.job(second)["after"] == [{"job_id": first["job_id"], "state": "queued"}]
        assert service.job(first["job_id"])["after"] == []
        assert service.cancel(second)["waiting"] is None

    def test_a_job_that_is_done_is_not_queued_again(self, service: Service, store: Store) -> None:
        job_id = service.submit(DRY_RUN)["job_id"]
        _, lease = store.queue.take(this_process()) or pytest.fail("nothing")
        store.jobs.set_state(lease, JobState.DONE)
        store.jobs.release(lease)
        assert service.resume(job_id)["state"] == "done"
        assert store.queue.length() == 0

    def test_the_contents_of_a_job_file(self, service: Service) -> None:
        content = {"name": "mine", "task": {"name": "digits"}, "devices": ["dry-run"], "budget": {"trials": 9}}
        job = service.submit({"job": content, "options": {"seed": 5}})
        assert (job["name"], job["budget"]["trials"]) == ("mine", 9)

    def test_a_model_with_its_data(self, service: Service, tmp_path: Path, store: Store) -> None:
        write_classifier(tmp_path)
        files = {name: service.upload(tmp_path / name) for name in ("model.onnx", "samples.npz")}
        options = {"data": "samples.npz", "devices": ["dry-run"], "trials": 3}
        job = service.submit({"target": "model.onnx", "options": options, "files": files})
        assert (job["name"], job["task"]) == ("model", "onnx")
        row = store.jobs.get(job["job_id"])
        assert row.files == files == {name: digest_of_file(tmp_path / name) for name in files}
        assert row.spec["task"]["options"]["data"] == "samples.npz"

    def test_the_same_key_makes_one_job(self, service: Service) -> None:
        first, second = service.submit(DRY_RUN, "k1"), service.submit(DRY_RUN, "k1")
        assert first["job_id"] == second["job_id"] != service.submit(DRY_RUN, "k2")["job_id"]
        with pytest.raises(InvalidInput, match="Idempotency-Key: 'k1' was used for job"):
            service.submit(DRY_RUN | {"options": {"devices": ["dry-run"], "trials": 5}}, "k1")

    @pytest.mark.parametrize(
        ("submission", "message"),
        [
            ({}, "needs either a target or a job"),
            ({"target": "digits", "jib": 1}, "unknown key 'jib'|extra"),
            ({"target": "model.onnx"}, "needs 'model.onnx', which was not sent"),
            ({"target": "/etc/passwd"}, "there is no task '/etc/passwd'"),
            ({"target": "os:system"}, "does not allow tasks of module 'os'"),
            ({"target": "my_task.py", "files": {"my_task.py": "a" * 64}}, "is code, which is never uploaded"),
            ({"target": "digits", "files": {"../x": "a" * 64}}, "is not the name of a job's file"),
            ({"job": {"task": {"name": "onnx", "options": {"model": "/etc/passwd"}}}}, "not the name of a job's file"),
            ({"target": "digits", "after": ["ffff"]}, "there is no job 'ffff'"),
        ],
    )
    def test_what_is_refused(self, service: Service, submission: dict[str, Any], message: str) -> None:
        with pytest.raises((InvalidInput, NotFound), match=message) as caught:
            service.submit(submission)
        assert caught.value.hint or "extra" in caught.value.message
        assert service.jobs()["jobs"] == []

    def test_a_device_that_is_not_there(self, service: Service) -> None:
        with pytest.raises((InvalidInput, DeviceUnavailable), match="toaster"):
            service.submit({"target": "digits", "options": {"devices": ["toaster"]}})

    def test_a_model_that_is_none(self, service: Service, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"no model")
        files = {"model.onnx": service.upload(tmp_path / "model.onnx")}
        with pytest.raises(InvalidInput, match=r"model\.onnx"):
            service.submit({"target": "model.onnx", "files": files, "options": {"devices": ["dry-run"]}})

    def test_a_file_that_was_not_uploaded(self, service: Service) -> None:
        with pytest.raises(InvalidInput, match=r"'model\.onnx' is not stored"):
            service.submit({"target": "model.onnx", "files": {"model.onnx": "f" * 64}})


class TestListing:
    def test_pages(self, service: Service) -> None:
        ids = [service.submit(DRY_RUN)["job_id"] for _ in range(5)]
        seen: list[str] = []
        cursor = None
        for expected in (2, 2, 1):
            page = service.jobs(limit=2, cursor=cursor)
            seen += [job["job_id"] for job in page["jobs"]]
            cursor = page["next"]
            assert len(page["jobs"]) == expected
        assert cursor is None
        assert seen == ids[::-1]

    def test_filters(self, service: Service, search: Any, store: Store) -> None:
        store.projects.add("vision")
        job_id = service.submit(DRY_RUN | {"project": "vision"})["job_id"]
        for filters, ids in (
            ({"state": "queued"}, [job_id]), ({"state": "running"}, [search.job_id]), ({"project": "vision"}, [job_id]),
            ({"user": "ada"}, []), ({"name": "digits-here"}, [search.job_id]), ({"device": "dry-run"}, None),
            ({"device": "phone"}, []),
        ):  # fmt: skip
            listed = [job["job_id"] for job in service.jobs(filters)["jobs"]]
            assert listed == ([job_id, search.job_id] if ids is None else ids), filters

    def test_mistakes(self, service: Service) -> None:
        with pytest.raises(InvalidInput):
            service.jobs({"state": "runing"})
        with pytest.raises(InvalidInput):
            service.jobs(limit=0)
        with pytest.raises(NotFound):
            service.jobs(cursor="ffffffff")


class TestChanging:
    def test_pausing_resuming_cancelling_deleting(self, service: Service) -> None:
        job_id = service.submit(DRY_RUN)["job_id"]
        for act, state in (
            (service.pause, "paused"), (service.pause, "paused"), (service.resume, "queued"),
            (service.resume, "queued"), (service.cancel, "cancelled"), (service.cancel, "cancelled"),
        ):  # fmt: skip
            assert act(job_id)["state"] == state
        folder = job_folder(job_id)
        service.delete(job_id)
        assert not folder.exists()
        with pytest.raises(NotFound):
            service.job(job_id)

    def test_a_running_job_is_asked(self, service: Service, search: Any) -> None:
        assert service.pause(search.job_id)["requested"] == "pause"
        assert service.cancel("digits-here")["requested"] == "cancel"
        with pytest.raises(InvalidInput, match="is running"):
            service.delete(search.job_id)

    def test_cloning(self, service: Service) -> None:
        job_id = service.submit(DRY_RUN | {"priority": 2})["job_id"]
        other = service.clone(job_id, {"seed": 7, "trials": 6})
        assert (other["priority"], other["budget"]["trials"], other["state"]) == (2, 6, "queued")
        assert other["job_id"] != job_id

    def test_what_does_not_exist(self, service: Service) -> None:
        for act in (service.job, service.front, service.candidates, service.layers, service.learning, service.logs,
                    service.cancel, service.pause, service.resume, service.delete, service.clone, service.candidate,
                    service.export, service.export_state, service.cancel_export, service.device,
                    service.capability):  # fmt: skip
            with pytest.raises(NotFound) as caught:
                act("ffff")
            assert "'ffff'" in caught.value.message
            assert caught.value.hint


class TestReading:
    def test_a_front_and_its_earlier_versions(self, service: Service, search: Any) -> None:
        search.store_front([0])
        assert [row["trial"] for row in service.front(search.job_id)["front"]] == [0]
        assert [row["trial"] for row in service.front(search.job_id, version=1)["front"]] == [0, 4, 8]
        with pytest.raises(NotFound, match="no version 9"):
            service.front(search.job_id, version=9)
        with pytest.raises(NotFound, match="did not run on device 'phone'"):
            service.front(search.job_id, device="phone")

    def test_a_learning_curve(self, service: Service, search: Any) -> None:
        assert service.learning(search.job_id)["rewards"] == []
        search.learn(2)
        document = service.learning(search.job_id)
        assert (document["name"], document["strategy"]) == ("digits-here", "nsga2")
        assert [reward["policy"] for reward in document["rewards"]] == ["removal"] * 2 + ["shrinkage"] * 2

    def test_candidates_a_page_at_a_time(self, service: Service, search: Any) -> None:
        everything = service.candidates(search.job_id)
        assert "next" not in everything
        assert [row["trial"] for row in everything["trials"]] == list(range(13))
        rows, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            page = service.candidates(search.job_id, limit=5, cursor=cursor)
            rows += page["trials"]
            cursor, pages = page["next"], pages + 1
        assert (rows, pages) == (everything["trials"], 3)

    def test_candidates_in_an_order(self, service: Service, search: Any) -> None:
        def trials(**query: Any) -> list[int]:
            return [row["trial"] for row in service.candidates(search.job_id, **query)["trials"]]

        assert trials(sort="-trial", limit=3) == [12, 11, 10]
        assert trials(sort="-trial", limit=3, cursor=10) == [9, 8, 7]
        assert trials(state="failed") == [12]
        assert trials(state="failed", limit=10) == [12]
        fastest = trials(sort="-speedup")
        assert len(fastest) == 12
        assert trials(sort="-speedup", limit=4, cursor=fastest[3]) == fastest[4:8]
        assert trials(sort="speedup") != fastest
        with pytest.raises(InvalidInput, match="unknown state 'dun'"):
            trials(state="dun")

    def test_what_is_asked_often_reads_no_more_candidates_than_it_shows(
        self, service: Service, search: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("reads all candidates")

        for name in ("of_job", "since"):
            monkeypatch.setattr(search.store.trials, name, refuse)
        assert service.job(search.job_id)["trials"]["done"] == 12
        assert service.jobs()["jobs"][0]["trials"]["failed"] == 1
        assert len(service.front(search.job_id)["front"]) == 3
        assert service.candidate(f"{search.job_id}/4")["on_front"]
        for order in ("trial", "-trial", "speedup", "-cosine"):
            assert len(service.candidates(search.job_id, limit=5, sort=order)["trials"]) == 5

    def test_a_candidate(self, service: Service, search: Any) -> None:
        document = service.candidate(search.ids[4])
        assert (document["trial"], document["job_id"]) == (4, search.job_id)
        assert service.candidate(f"{search.job_id}/4")["candidate_id"] == search.ids[4]

    def test_logs(self, service: Service, search: Any) -> None:
        for number in range(5):
            search.store.logs.add(search.lease, f"line {number}")
        first = service.logs(search.job_id, limit=3)
        assert [line["text"] for line in first["lines"]] == ["line 0", "line 1", "line 2"]
        rest = service.logs(search.job_id, after=first["last"])
        assert [line["text"] for line in rest["lines"]] == ["line 3", "line 4"]
        assert service.logs(search.job_id, after=rest["last"])["last"] is None

    def test_devices_and_workers(self, service: Service, store: Store) -> None:
        names = [device["device"] for device in service.devices()["devices"]]
        assert {"local-cpu", "dry-run"} <= set(names)
        assert service.device("dry-run")["simulated"]
        assert service.workers() == {"queued": 0, "workers": []}
        service.submit(DRY_RUN)
        store.workers.add(this_process(), 2)
        workers = service.workers()
        assert (workers["queued"], workers["workers"][0]["slots"], workers["workers"][0]["online"]) == (1, 2, True)


class TestExporting:
    def test_until_it_is_done(self, service: Service, search: Any, tmp_path: Path, store: Store) -> None:
        asked = service.export(search.ids[4], {"device": "local-cpu"}, "e1")
        assert (asked["state"], asked["candidate_id"]) == ("queued", search.ids[4])
        assert service.export(search.ids[4], {"device": "local-cpu"}, "e1")["export_id"] == asked["export_id"]
        with pytest.raises(InvalidInput, match="is queued"):
            service.bundle(asked["export_id"], tmp_path / "bundle.zip")
        row, lease = store.export_requests.take(this_process()) or pytest.fail("nothing to do")
        assert (row.export_id, row.options["device"]) == (asked["export_id"], "local-cpu")
        store.export_requests.renew(lease, this_process(), "building the file")
        assert service.export_state(asked["export_id"])["doing"] == "building the file"
        with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
            archive.writestr("receipt.json", "{}")
        digest = ArtefactStore().put(tmp_path / "made.zip").sha256
        store.export_requests.finish(lease, digest, {"verdict": "confirmed"})
        done = service.export_state(asked["export_id"])
        assert (done["state"], done["receipt"]["verdict"], done["bundle_sha256"]) == ("done", "confirmed", digest)
        service.bundle(asked["export_id"], tmp_path / "bundle.zip")
        assert digest_of_file(tmp_path / "bundle.zip") == digest

    def test_cancelling(self, service: Service, search: Any, tmp_path: Path, store: Store) -> None:
        asked = service.export(search.ids[4], {"device": "local-cpu"})["export_id"]
        _, lease = store.export_requests.take(this_process()) or pytest.fail("nothing to do")
        for _ in range(2):
            document = service.cancel_export(asked)
            assert (document["state"], document["doing"], document["receipt"]) == ("cancelled", None, None)
        with pytest.raises(StaleLease):
            store.export_requests.finish(lease, "a" * 64, {"verdict": "confirmed"})
        assert service.export_state(asked) == document
        with pytest.raises(InvalidInput, match="is cancelled"):
            service.bundle(asked, tmp_path / "bundle.zip")
        done = service.export(search.ids[3], {"device": "local-cpu"})["export_id"]
        _, lease = store.export_requests.take(this_process()) or pytest.fail("nothing to do")
        store.export_requests.finish(lease, "a" * 64, {"verdict": "confirmed"})
        with pytest.raises(InvalidInput, match="is done already"):
            service.cancel_export(done)

    def test_what_cannot_be_exported(self, service: Service, search: Any) -> None:
        with pytest.raises(InvalidInput, match="is unsupported_op and cannot be exported"):
            service.export(search.ids[12])
        with pytest.raises(InvalidInput, match="target"):
            service.export(search.ids[0], {"target": "tensorrt"})


def test_files(service: Service, tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(b"x" * 100_000)
    digest = digest_of_file(tmp_path / "data.npz")
    assert service.upload(tmp_path / "data.npz") == digest
    assert service.upload(tmp_path / "data.npz") == digest
    assert ArtefactStore().fetch(digest).read_bytes() == b"x" * 100_000


@pytest.mark.parametrize("kind", ["of a server"])
def test_an_upload_goes_on_where_it_stopped(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.npz").write_bytes(bytes(range(250)) * 20)
    monkeypatch.setattr("dashboards.service.remote.PART_BYTES", 1000)
    parts, send = [], Connection.send_part

    def send_part(self: Connection, path: str, content: bytes, offset: int) -> Any:
        if len(parts) == 3:
            parts.append(-1)
            raise StorageError("the cable was pulled")
        parts.append(offset)
        return send(self, path, content, offset)

    monkeypatch.setattr(Connection, "send_part", send_part)
    with background(store) as address, RemoteService(address) as remote:
        with pytest.raises(StorageError, match="cable"):
            remote.upload(tmp_path / "data.npz")
        digest = remote.upload(tmp_path / "data.npz")
    assert parts == [0, 1000, 2000, -1, 3000, 4000]
    assert ArtefactStore().fetch(digest).read_bytes() == (tmp_path / "data.npz").read_bytes()


def test_a_document_belongs_to_its_caller(service: Service, search: Any) -> None:
    service.front(search.job_id)["front"].clear()
    assert len(service.front(search.job_id)["front"]) == 3
    service.jobs()["jobs"][0].clear()
    assert service.jobs()["jobs"][0]["state"] == str(JobState.RUNNING)
