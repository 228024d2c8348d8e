"""The client of a server: its face, and what it does there."""

from __future__ import annotations

import dataclasses
import inspect
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
from access_people import People
from command_line import wait_until
from inline_search import without_ray
from small_jobs import write_classifier, write_job

import paretune
from dashboards.server import background
from hwprofiles import digest_of_file
from search.artefacts.store import ArtefactStore
from search.controller.controller import Controller
from search.permissions import Scope
from search.states import JobState
from search.store import Store, this_process

FACE = {
    "Client": {"close", "devices", "job", "jobs", "submit", "url"},
    "Job": {"cancel", "candidates", "delete", "front", "job_id", "logs", "name", "pause", "resume", "state", "status",
            "wait"},
    "JobStatus": {"answer", "best_speedup", "document", "doing", "error", "finished", "front_size", "of", "planned",
                  "state"},
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'server.db'}") as opened:
        yield opened


@pytest.fixture
def client(store: Store) -> Iterator[paretune.Client]:
    with background(store) as address, paretune.Client(address) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and samples."""
    monkeypatch.chdir(tmp_path)
    without_ray(monkeypatch, prepare_here=True)
    write_classifier(tmp_path)
    return tmp_path


@pytest.fixture
def job(client: paretune.Client, here: Path, store: Store) -> paretune.Job:
    """A job that is done."""
    made = client.submit("model.onnx", data="samples.npz", device="dry-run", trials=10)
    run(store, made)
    return made


def run(store: Store, job: paretune.Job) -> None:
    """Runs a job as a worker does."""
    taken = store.queue.take(this_process(), lambda row: row.job_id == job.job_id)
    assert taken is not None
    Controller(store, job.job_id, lease=taken[1]).run()


@pytest.mark.parametrize("name", FACE)
def test_its_face_is_pinned(name: str) -> None:
    kind = getattr(paretune, name)
    names = {each for each in dir(kind) if not each.startswith("_")}
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    assert names | fields | {"Client": {"url"}, "Job": {"job_id", "name"}}.get(name, set()) == FACE[name]


def test_it_takes_what_run_takes() -> None:
    own = inspect.signature(paretune.Client.submit).parameters
    others = inspect.signature(paretune.run).parameters
    assert set(others) - set(own) == {"db", "progress"}
    assert set(own) - set(others) == {"self", "seed", "project", "priority", "after", "key"}


class TestSubmitting:
    def test_a_model(self, client: paretune.Client, here: Path, store: Store) -> None:
        job = client.submit(
            "model.onnx", data="samples.npz", device=["dry-run"], objectives=["accuracy", "size_bytes:min"],
            constraints=["accuracy >= baseline - 0.01"], minutes=3, trials=7, space=["precision"], seed=5, name="mine",
            priority=2,
        )  # fmt: skip
        row = store.jobs.get(job.job_id)
        assert (job.name, row.name, row.priority, row.spec["seed"]) == ("mine", "mine", 2, 5)
        assert [goal["metric"] for goal in row.spec["objectives"]] == ["accuracy", "size_bytes"]
        assert row.spec["budget"]["minutes"] == 3
        assert row.files == {name: digest_of_file(here / name) for name in ("model.onnx", "samples.npz")}

    def test_a_job_file_and_a_dictionary(self, client: paretune.Client, here: Path, store: Store) -> None:
        path = write_job(here, name="one.yaml", devices=["dry-run"])
        assert client.submit(path).name == "small"
        second = client.submit({"task": {"name": "digits"}, "devices": ["dry-run"]}, name="two")
        third = client.submit("digits", device="dry-run", after=[second])
        assert [each.name for each in client.jobs()] == ["digits", "two", "small"]
        assert [each.job_id for each in client.jobs(name="two")] == [second.job_id]
        taken = store.queue.take(this_process(), lambda row: row.job_id == third.job_id)
        assert taken is None

    def test_a_key_makes_it_once(self, client: paretune.Client) -> None:
        ids = {client.submit("digits", device="dry-run", key="k").job_id for _ in range(3)}
        assert len(ids) == 1

    def test_mistakes_name_arguments(self, client: paretune.Client, here: Path) -> None:
        with pytest.raises(paretune.ParetuneError, match="nothing"):
            client.submit("nothing.onnx")
        with pytest.raises(paretune.ParetuneError, match="toaster"):
            client.submit("digits", device="toaster")
        (here / "my_task.py").write_text("def make_task(): ...")
        with pytest.raises(paretune.ParetuneError, match="runs no code of its users"):
            client.submit("my_task.py:make_task")


def test_a_job_until_its_front(job: paretune.Job, client: paretune.Client) -> None:
    assert job.wait(progress=False) is job
    status = job.status
    assert (status.state, job.state, status.finished, status.error) == ("done", "done", 10, None)
    assert repr(job) == f"<job {job.job_id} (model)>"
    front = job.front()
    assert len(front) == len(front.document["front"]) > 0
    assert front[0].metrics["speedup"] > 0
    assert front.baseline.metrics["speedup"] == 1.0
    assert front.best is None or front.best in list(front)
    assert front.answer == status.answer
    frame = front.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.index) == [member.candidate_id for member in front]
    assert {"speedup", "accuracy", "summary"} <= set(frame.columns)
    assert "candidate" in repr(front)
    assert front._repr_html_().startswith("<pre>")
    assert len(job.candidates()) == 10
    assert {row["state"] for row in job.candidates(state="done")} <= {"done"}
    assert job.front("dry-run").document == front.document
    with pytest.raises(paretune.ParetuneError, match="phone"):
        job.front("phone")
    assert client.job(job.job_id[:6]).job_id == client.job("model").job_id == job.job_id


def test_a_log_and_its_end(job: paretune.Job, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretune.client.LOOK_S", 0.05)
    lease = store.jobs.lease(job.job_id, this_process())
    store.logs.add(lease, "one more line")
    assert list(job.logs())[-1] == "one more line"
    assert list(job.logs(follow=True)) == list(job.logs())


def test_waiting_for_what_ends_otherwise(
    client: paretune.Client, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("paretune.client.LOOK_S", 0.05)
    job = client.submit("digits", device="dry-run")
    with pytest.raises(TimeoutError, match="is still queued"):
        job.wait(timeout_s=0.2)
    assert "queued" in capsys.readouterr().err
    job.pause()
    assert job.state == "paused"
    with pytest.raises(paretune.ParetuneError, match="is paused"):
        job.wait(progress=False)
    job.resume()
    job.cancel()
    assert store.jobs.get(job.job_id).state is JobState.CANCELLED
    job.delete()
    with pytest.raises(paretune.ParetuneError, match="there is no job"):
        job.wait(progress=False)


def test_a_candidate_is_exported_and_checked(
    job: paretune.Job, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboards.service.bundles.LOOK_S", 0.05)
    (tmp_path / "made.onnx").write_bytes(b"a model")
    receipt = {"verdict": "confirmed", "model_sha256": digest_of_file(tmp_path / "made.onnx"), "findings": []}

    def work() -> None:
        wait_until(store.export_requests.is_open, "an export")
        taken = store.export_requests.take(this_process())
        assert taken is not None
        with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
            archive.write(tmp_path / "made.onnx", "model.onnx")
            archive.writestr("manifest.json", "{}")
            archive.writestr("receipt.json", "{}")
        store.export_requests.finish(taken[1], ArtefactStore().put(tmp_path / "made.zip").sha256, receipt)

    worker = threading.Thread(target=work)
    worker.start()
    assert replace(job.front()[0], device="local-cpu").export(tmp_path / "bundle", progress=False) == receipt
    worker.join()
    assert digest_of_file(tmp_path / "bundle" / "model.onnx") == receipt["model_sha256"]


class TestServers:
    def test_the_usual_one(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(paretune.ParetuneError, match="no server is named"):
            paretune.Client()
        with background(store) as address:
            monkeypatch.setenv("PARETUNE_SERVER", address)
            with paretune.Client() as client:
                assert client.url == address
                assert list(client.jobs()) == []
                assert repr(client) == f"paretune.Client('{address}')"
                assert "dry-run" in {device["device"] for device in client.devices()}

    def test_a_token_s_scopes_hold(self, store: Store) -> None:
        people = People(store)
        people.add("ada")
        with background(store) as address:
            with paretune.Client(address, people.token("ada", Scope.READ)) as reader:
                assert list(reader.jobs()) == []
                with pytest.raises(paretune.ParetuneError, match="needs a token with the scope 'submit'"):
                    reader.submit("digits", device="dry-run")
            with paretune.Client(address, people.token("ada")) as ada:
                job = ada.submit("digits", device="dry-run")
                assert job.status.document["submitted_by"] == "ada"
            with paretune.Client(address) as nobody, pytest.raises(paretune.ParetuneError, match="who asks"):
                nobody.job(job.job_id)
