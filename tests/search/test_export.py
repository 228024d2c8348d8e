"""Exported files: what the receipt proves, what bare ONNX Runtime gives, and what is refused."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from command_line import document, error_lines, paretune
from inline_search import measuring_briefly
from small_jobs import FinishedJob

from dashboards.cli import run_app
from search.export import export_candidate
from search.states import TrialState
from search.store import Store, this_process
from search.tasks.digits import Digits, DigitsOptions

pytestmark = pytest.mark.alone

Export = Callable[..., int]
ANY_SPEED = {"ratio": 1.0, "ci95": [0.001, 1000.0]}


def quantised(job: FinishedJob) -> dict[str, Any]:
    """The member of the front with most layers in int8."""
    return max(job.front["front"], key=lambda member: list(member["decisions"].values()).count("int8"))


def claim(job: FinishedJob, candidate_id: str, **metrics: Any) -> None:
    """Changes what the store says that a candidate measured."""
    with Store(job.database) as store:
        row = store.trial(candidate_id)
        lease = store.lease_job(row.job_id, this_process())
        store.replace_measurement(
            lease, candidate_id, state=TrialState.DONE, metrics=row.metrics | metrics, measurement={}, phase="final"
        )
        store.release(lease)


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


def exported(job: FinishedJob, folder: Path, candidate: Mapping[str, Any]) -> Any:
    claim(job, candidate["candidate_id"], speedup=ANY_SPEED)
    return document(paretune("export", candidate["candidate_id"], "-o", folder, "--format", "json", home=job.home))


def test_the_receipt_confirms_and_bare_onnx_runtime_gives_exactly_the_front_s_quality(
    job: FinishedJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = quantised(job)
    receipt = exported(job, tmp_path / "bundle", candidate)
    assert receipt["verdict"] == "confirmed", receipt["findings"]
    assert receipt["quality_runtime"] is None

    model = tmp_path / "bundle" / "model.onnx"
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert json.loads((tmp_path / "bundle" / "receipt.json").read_text())["model_sha256"] == manifest["model_sha256"]
    assert manifest["model_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert manifest["decisions"] == candidate["decisions"]

    monkeypatch.setenv("PARETUNE_HOME", str(job.home))
    task = Digits(DigitsOptions(preset="bench"))
    images = task.inputs("validation")["image"]
    with Store(job.database) as store:
        baseline = (store.job(job.job_id).baseline or {})["facts"]["model_path"]
    logits = bare_predictions(model, images, batch=4)
    reference = bare_predictions(Path(baseline), images, batch=4)
    assert task.score({"logits": logits}, "validation")["accuracy"].mean() == candidate["metrics"]["accuracy"]
    assert cosine(logits, reference) == pytest.approx(candidate["metrics"]["cosine"], abs=1e-15)


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
    claim(job, candidate, accuracy=0.123, speedup={"ratio": 900.0, "ci95": [899.0, 901.0]})
    assert export_here(job, candidate) == 4
    told = capsys.readouterr().err
    assert "accuracy on the validation split" in told
    receipt = json.loads((tmp_path / "bundle" / "receipt.json").read_text())
    assert receipt["verdict"] == "disagrees"
    assert receipt["latency"]["measurements"] == 3
    assert any("speed-up" in finding for finding in receipt["findings"])
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
    claim(job, candidate, speedup=ANY_SPEED)
    with Store(job.database) as store:
        export_candidate(store, candidate, tmp_path / "bundle", progress=dominate)
    assert (tmp_path / "bundle" / "model.onnx").exists()
    assert not list(folder.glob("export-*")), "nothing is left behind"


def test_a_modelled_candidate_asks_for_a_real_device(modelled_job: FinishedJob, tmp_path: Path) -> None:
    candidate = modelled_job.front["front"][0]["candidate_id"]
    done = paretune("export", candidate, "-o", tmp_path / "bundle", home=modelled_job.home)
    message, hint = error_lines(done)
    assert done.returncode == 2
    assert "measures nothing" in message
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
