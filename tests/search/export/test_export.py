"""Exported files: what the receipt proves, what bare ONNX Runtime gives, and what is refused."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from command_line import error_lines, paretune
from inline_search import InlineSandbox, measuring_briefly, with_device
from small_jobs import FinishedJob

from dashboards.cli import run_app
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import digest_of_file
from hwprofiles.errors import StorageError, UnhealthyMeasurement
from search.export.export import export_candidate
from search.states import TrialState
from search.store import Store, this_process
from search.tasks.digits import Digits, DigitsOptions
from search.trials.trial import TrialRunner
from search.trials.workspace import Built

pytestmark = pytest.mark.alone

Export = Callable[..., int]
TWICE = {"ratio": 2.0, "ci95": [1.98, 2.02]}


def quantised(job: FinishedJob) -> dict[str, Any]:
    """The member of the front with most layers in int8."""
    return max(job.front["front"], key=lambda member: list(member["decisions"].values()).count("int8"))


def claim(job: FinishedJob, candidate_id: str, **metrics: Any) -> None:
    """Changes what the store says that a candidate measured."""
    with Store(job.database) as store:
        row = store.trials.get(candidate_id)
        lease = store.jobs.lease(row.job_id, this_process())
        store.trials.replace_measurement(
            lease, candidate_id, state=TrialState.DONE, metrics=row.metrics | metrics, measurement={}, phase="final"
        )
        store.jobs.release(lease)


def bare_predictions(model: Path, images: Any, batch: int) -> Any:
    """Logits as anyone gets them: a default session, the device's batches."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"image": images[i : i + batch]})[0] for i in range(0, len(images), batch)]
    return np.concatenate(parts)


def cosine(values: Any, reference: Any) -> float:
    a, b = values.astype(np.float64), reference.astype(np.float64)
    found = np.einsum("ij,ij->i", a, b) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float(np.minimum(found, 1.0).mean())


@pytest.fixture
def job(digits_job: FinishedJob, tmp_path: Path) -> FinishedJob:
    return digits_job.copy(tmp_path / "home")


Exported = Callable[..., dict[str, Any]]


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exported:
    """Exports in this process, on a device that is told what to answer: the claim and its receipt."""
    monkeypatch.setattr("search.export.remeasurement.PAUSE_S", 0.0)
    monkeypatch.setattr("search.export.export.Sandbox", InlineSandbox)

    def export(
        job: FinishedJob, candidate: Mapping[str, Any], *, wait_quiet_s: float = 0.0, device: FakeDevice | None = None,
        **claimed: Any,
    ) -> dict[str, Any]:  # fmt: skip
        monkeypatch.setenv("PARETUNE_HOME", str(job.home))
        with_device(monkeypatch, device or FakeDevice(lambda path: 2.0))
        claim(job, candidate["candidate_id"], **{"speedup": TWICE, **claimed})
        with Store(job.database) as store:
            return export_candidate(store, candidate["candidate_id"], tmp_path / "bundle", wait_quiet_s=wait_quiet_s)

    return export


def test_the_receipt_confirms_and_bare_onnx_runtime_gives_exactly_the_front_s_quality(
    job: FinishedJob, tmp_path: Path, exported: Exported
) -> None:
    candidate = quantised(job)
    receipt = exported(job, candidate)
    assert receipt["verdict"] == "confirmed", receipt["findings"] + receipt["reasons"]
    assert {check["outcome"] for check in receipt["checks"]} == {"agrees"}
    assert {"speedup", "size_bytes", "accuracy on the test split"} <= {check["about"] for check in receipt["checks"]}
    assert receipt["quality_runtime"] is None

    model = tmp_path / "bundle" / "model.onnx"
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert json.loads((tmp_path / "bundle" / "receipt.json").read_text())["model_sha256"] == manifest["model_sha256"]
    assert manifest["model_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert manifest["decisions"] == candidate["decisions"]

    task = Digits(DigitsOptions(preset="bench"))
    images = task.inputs("validation")["image"]
    with Store(job.database) as store:
        baseline = (store.jobs.get(job.job_id).baseline or {})["facts"]["model_path"]
    logits = bare_predictions(model, images, batch=4)
    reference = bare_predictions(Path(baseline), images, batch=4)
    assert task.score({"logits": logits}, "validation")["accuracy"].mean() == candidate["metrics"]["accuracy"]
    assert cosine(logits, reference) == pytest.approx(candidate["metrics"]["cosine"], abs=1e-15)


class TestPlanted:
    """Flaws of a file or a claim, none of which is confirmed."""

    def test_a_claim_ten_percent_too_fast(self, job: FinishedJob, exported: Exported) -> None:
        receipt = exported(job, quantised(job), speedup={"ratio": 2.2, "ci95": [2.17, 2.23]})
        assert receipt["verdict"] == "disagrees"
        assert receipt["latency"]["measurements"] == 3
        assert any("speedup is 2, the front said 2.2" in finding for finding in receipt["findings"])

    def test_the_same_with_an_interval_that_holds_anything(self, job: FinishedJob, exported: Exported) -> None:
        receipt = exported(job, quantised(job), speedup={"ratio": 2.2, "ci95": [1.0, 4.8]})
        assert (receipt["verdict"], receipt["findings"]) == ("inconclusive", [])

    def test_another_candidate_s_decisions(self, job: FinishedJob, exported: Exported) -> None:
        candidate = quantised(job)
        with sqlite3.connect(job.home / "paretune.db") as database:
            (other,) = database.execute(
                "SELECT decisions FROM trials WHERE candidate_id != ? AND decisions != ? AND state = 'done'",
                (candidate["candidate_id"], json.dumps(candidate["decisions"])),
            ).fetchone()
            database.execute(
                "UPDATE trials SET decisions = ? WHERE candidate_id = ?", (other, candidate["candidate_id"])
            )
        receipt = exported(job, candidate)
        assert receipt["verdict"] == "disagrees"
        assert "the file built now differs from the one that was measured" in receipt["findings"]
        assert "the candidate's decisions are not those that its digest names" in receipt["findings"]

    def test_an_edited_weight(self, job: FinishedJob, exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
        build = TrialRunner.build

        def edited(runner: TrialRunner, *asked: Any) -> Built:
            built = build(runner, *asked)
            edit_weight(built.path)
            return replace(built, sha256=digest_of_file(built.path))

        monkeypatch.setattr(TrialRunner, "build", edited)
        receipt = exported(job, quantised(job))
        assert receipt["verdict"] == "disagrees"
        assert "the file built now differs from the one that was measured" in receipt["findings"]

    def test_a_weight_that_is_edited_while_the_file_is_measured(
        self, job: FinishedJob, exported: Exported, tmp_path: Path
    ) -> None:
        def speed(path: Path) -> float:
            edit_weight(path)
            return 2.0

        with pytest.raises(StorageError, match="was changed while it was exported"):
            exported(job, quantised(job), device=FakeDevice(speed))
        assert not (tmp_path / "bundle").exists()


def edit_weight(path: Path) -> None:
    model = onnx.load(path)
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.raw_data = bytes([weight.raw_data[0] ^ 1]) + weight.raw_data[1:]
    onnx.save(model, path)


class TestQuiet:
    CONTENDED = ("contended",) * 2 + ("healthy",)

    def test_a_busy_machine_proves_nothing(
        self, job: FinishedJob, exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        receipt = exported(job, quantised(job), device=FakeDevice(lambda path: 2.0, healths=("contended",)))
        assert (receipt["verdict"], receipt["findings"]) == ("inconclusive", [])
        assert "speedup is 2, the front said 2, but the machine was contended" in receipt["reasons"]
        assert receipt["latency"]["measurements"] == 1
        assert (tmp_path / "bundle" / "model.onnx").exists()
        command = ["export", quantised(job)["candidate_id"], "-o", str(tmp_path / "bundle")]
        assert run_app([*command, "--wait-quiet", "0"]) == 0
        told = capsys.readouterr()
        assert "the machine was contended" in told.out
        assert "--wait-quiet" in told.err

    def test_it_can_be_waited_for(self, job: FinishedJob, exported: Exported) -> None:
        device = FakeDevice(lambda path: 2.0, healths=self.CONTENDED)
        receipt = exported(job, quantised(job), device=device, wait_quiet_s=600)
        assert receipt["verdict"] == "confirmed", receipt["reasons"]
        assert len(device.asked) == 3

    def test_not_for_longer_than_asked(
        self, job: FinishedJob, exported: Exported, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        passed = iter(range(0, 10_000, 30))
        monkeypatch.setattr("search.export.remeasurement.time.monotonic", lambda: float(next(passed)))
        device = FakeDevice(lambda path: 2.0, healths=("contended",))
        receipt = exported(job, quantised(job), device=device, wait_quiet_s=100)
        assert receipt["verdict"] == "inconclusive"
        assert len(device.asked) == 4

    def test_an_interval_too_wide_to_be_a_measurement(
        self, job: FinishedJob, exported: Exported, tmp_path: Path
    ) -> None:
        def hopeless(path: Path) -> float:
            raise UnhealthyMeasurement("the speed-up's interval is still ±14.0% wide after 60 s", "quieten")

        receipt = exported(job, quantised(job), device=FakeDevice(hopeless))
        assert receipt["verdict"] == "inconclusive"
        assert receipt["latency"] is None
        assert receipt["latency_missing"] == "the speed-up's interval is still ±14.0% wide after 60 s"
        assert any("was not measured again" in reason for reason in receipt["reasons"])
        assert (tmp_path / "bundle" / "model.onnx").exists()


@pytest.fixture
def export_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Export:
    """Exports in this process, with short measurements, and returns the exit code."""

    def export(job: FinishedJob, candidate_id: str, *options: str) -> int:
        monkeypatch.setenv("PARETUNE_HOME", str(job.home))
        measuring_briefly(monkeypatch)
        return run_app(["export", candidate_id, "-o", str(tmp_path / "bundle"), *options])

    return export


def test_a_front_that_said_otherwise_is_contradicted_and_the_bundle_kept(
    job: FinishedJob, tmp_path: Path, export_here: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = quantised(job)["candidate_id"]
    claim(job, candidate, accuracy=0.123)
    assert export_here(job, candidate) == 4
    told = capsys.readouterr().err
    assert "accuracy on the validation split" in told
    receipt = json.loads((tmp_path / "bundle" / "receipt.json").read_text())
    assert receipt["verdict"] == "disagrees"
    assert (tmp_path / "bundle" / "model.onnx").exists()


def test_a_search_that_goes_on_may_remove_its_own_files_meanwhile(
    job: FinishedJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate that becomes dominated while it is exported loses its file in the job's folder, not the export's."""
    monkeypatch.setenv("PARETUNE_HOME", str(job.home))
    measuring_briefly(monkeypatch)
    folder = job.home / "jobs" / job.job_id

    def dominate(_: str) -> None:
        for path in folder.glob("*.onnx"):
            path.unlink()

    candidate = quantised(job)["candidate_id"]
    with Store(job.database) as store:
        export_candidate(store, candidate, tmp_path / "bundle", progress=dominate)
    assert (tmp_path / "bundle" / "model.onnx").exists()
    assert not list(folder.glob("export-*")), "nothing is left behind"


def test_a_modelled_candidate_asks_for_a_real_device(modelled_job: FinishedJob, tmp_path: Path) -> None:
    candidate = modelled_job.front["front"][0]["candidate_id"]
    done = paretune("export", candidate, "-o", tmp_path / "bundle", home=modelled_job.home)
    message, hint = error_lines(done)
    assert done.returncode == 2
    assert "simulated" in message
    assert "--device" in hint
    assert not (tmp_path / "bundle").exists()


def test_a_modelled_candidate_is_exported_for_a_real_device(
    modelled_job: FinishedJob, tmp_path: Path, export_here: Export
) -> None:
    """Nothing was measured that the file could contradict: its receipt says what it does there."""
    job = modelled_job.copy(tmp_path / "home")
    assert export_here(job, modelled_job.front["front"][0]["candidate_id"], "--device", "local-cpu") == 0
    receipt = json.loads((tmp_path / "bundle" / "receipt.json").read_text())
    assert receipt["verdict"] == "unclaimed", receipt["findings"]
    assert receipt["claimed"] == {}
    assert receipt["latency"]["speedup"]["ratio"] > 0
    assert receipt["model_sha256"] == hashlib.sha256((tmp_path / "bundle" / "model.onnx").read_bytes()).hexdigest()


def test_a_device_that_has_changed_since_is_another_device(job: FinishedJob, tmp_path: Path) -> None:
    candidate = quantised(job)
    with sqlite3.connect(job.home / "paretune.db") as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(profiles)")]
        values = ", ".join("'other'" if name == "digest" else name for name in columns)
        database.execute(f"INSERT INTO profiles SELECT {values} FROM profiles LIMIT 1")
        database.execute("UPDATE jobs SET profile_digest = 'other'")
    done = paretune("export", candidate["candidate_id"], "-o", tmp_path / "bundle", home=job.home)
    message, hint = error_lines(done)
    assert done.returncode == 2
    assert "another device" in message
    assert "never mixed" in hint
    assert not (tmp_path / "bundle").exists()


def test_a_folder_with_other_files_is_left_alone(job: FinishedJob, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    done = paretune("export", quantised(job)["candidate_id"], "-o", tmp_path / "mine", home=job.home)
    error_lines(done)
    assert done.returncode == 2
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
