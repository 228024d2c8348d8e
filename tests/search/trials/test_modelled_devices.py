"""Searches on devices that measure nothing: a described one is bounded by its peaks, a dry run is made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from inline_search import InlineSandbox, without_ray
from small_jobs import spec, write_classifier

from hwprofiles.errors import InvalidInput
from search.controller.controller import Controller
from search.controller.submission import submit
from search.fronts.metrics import QUALITY_RUNTIME
from search.job.spec import parse_job
from search.states import JobState
from search.store import Store

BOARD = "raspberry-pi-5"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A classifier with its labelled data; everything runs in this process."""
    without_ray(monkeypatch, prepare_here=True)
    monkeypatch.setattr("search.trials.trial.Sandbox", InlineSandbox)
    write_classifier(tmp_path)
    return tmp_path


def run(store: Store, folder: Path, **fields: Any) -> str:
    job_id = submit(store, parse_job(spec(**fields), folder=folder), folder)
    assert Controller(store, job_id).run() is JobState.DONE
    return job_id


def accuracy(folder: Path, session: onnxruntime.InferenceSession) -> float:
    """Of a model on the job's validation split."""
    from search.tasks import open_task

    task = open_task("onnx", {"model": "model.onnx", "data": "samples.npz"}, folder)
    (outputs,) = session.run(None, dict(task.inputs("validation")))
    return float(task.score({"logits": outputs}, "validation")["accuracy"].mean())


def test_quality_of_a_described_device_is_evaluated_and_speed_has_no_interval(store: Store, folder: Path) -> None:
    """The labels are random: nobody would guess this accuracy."""
    job_id = run(store, folder, devices=[BOARD], budget={"trials": 6})
    baseline = store.jobs.get(job_id).baseline
    assert baseline is not None
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    assert baseline["metrics"]["accuracy"] == accuracy(folder, session) < 0.5
    assert baseline["metrics"]["accuracy"] != 0.97
    assert baseline["metrics"]["size_bytes"] == Path(baseline["facts"]["model_path"]).stat().st_size
    trials = store.trials.of_job(job_id)
    assert len(trials) == 6
    for trial in trials:
        assert trial.simulated
        assert trial.artifact_sha256 is not None
        assert trial.metrics[QUALITY_RUNTIME] == "onnxruntime"
        assert set(trial.metrics["speedup"]) == {"ratio"}
        assert "ci95" not in trial.metrics["latency_ms"]
        assert trial.metrics["intervals"]["accuracy"]
    changed = next(trial for trial in trials if "int8" in trial.decisions.values())
    assert changed.metrics["cosine"] < 1.0
    assert changed.metrics["size_bytes"] != baseline["metrics"]["size_bytes"]


def test_several_described_devices_share_files_and_quality(store: Store, folder: Path) -> None:
    job_id = run(store, folder, devices=[BOARD, "graviton3"], budget={"trials": 3})
    for trial in store.trials.of_job(job_id):
        assert trial.metrics["devices"] == [BOARD, "graviton3"]
        assert set(trial.metrics["speedup@graviton3"]) == {"ratio"}
        assert "cosine@graviton3" not in trial.metrics


def test_a_dry_run_builds_and_evaluates_nothing(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.trials.workspace.Workspace.build", None)
    monkeypatch.setattr("search.trials.scoring.Scoring.quality", None)
    job_id = run(store, folder, devices=["dry-run"], budget={"trials": 6})
    assert {trial.artifact_sha256 for trial in store.trials.of_job(job_id)} == {None}


def test_what_is_made_up_shares_no_front_with_what_is_evaluated(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="'dry-run' makes up its figures"):
        parse_job(spec(devices=["dry-run", BOARD]), folder=folder)


def test_a_candidate_that_is_pruned_is_trained_for_a_described_device(store: Store, folder: Path) -> None:
    """Nobody is told the quality of a network that was never trained again."""
    (folder / "task.py").write_text("from search.testing.trainable import make_task\n")
    space = {"pruning": {"ratios": [0.5], "round": 2, "criterion": "l1", "blocks": False}}
    recovery = {"steps": 2, "batch": 32, "losses": {"task": {}}, "precision": "float32", "threads": 1}
    job_id = run(
        store, folder, devices=[BOARD], task={"name": "./task.py:make_task"}, space=space, recovery=recovery,
        budget={"trials": 3}, strategy={"name": "random"},
    )  # fmt: skip
    pruned = [trial for trial in store.trials.of_job(job_id) if "0.5" in trial.decisions.values()]
    assert pruned
    assert all("training" in trial.metrics for trial in pruned)
    assert all(trial.metrics["speedup"]["ratio"] > 1.0 for trial in pruned)
