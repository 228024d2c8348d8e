"""Whole jobs in which number formats are searched for: trained, stored, shown, exported, resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inline_search import InlineSandbox, with_device, without_ray
from number_formats import number_formats
from small_jobs import spec

from dashboards.documents.candidates import candidate_document
from dashboards.documents.front import front_document
from dashboards.documents.trials import trials_document
from evaluators.runtimes import OnnxRuntime
from evaluators.testing.fake_device import FakeDevice
from hwprofiles.errors import InvalidInput
from search.controller.controller import Controller
from search.controller.submission import submit
from search.export.export import export_candidate
from search.job.spec import parse_job
from search.states import JobState, TrialState
from search.store import Store, TrialRow
from search.testing.trainable import make_task

RECOVERY = {"steps": 48, "batch": 32, "losses": {"task": {}}, "precision": "float32", "evaluate_every": 8, "threads": 1}
JOB: dict[str, Any] = {
    "task": {"name": "./task.py:make_task"},
    "devices": ["local-cpu"],
    "space": {"formats": {"choices": ["int4", "int8"]}},
    "recovery": RECOVERY,
    "objectives": [{"metric": "accuracy", "direction": "max"}, {"metric": "bit_operations", "direction": "min"}],
    "strategy": {"name": "fliqs", "options": {"targets": [16, 50, 65], "beta": 5, "delay": 0.1}},
    "budget": {"trials": 20},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task that can be trained; integers are twice as fast."""
    (tmp_path / "task.py").write_text("from search.testing.trainable import make_task\n")
    without_ray(monkeypatch, prepare_here=True)
    with_device(monkeypatch, FakeDevice(lambda path: 2.0 if number_formats(path) else 1.0))
    monkeypatch.setattr("search.export.export.Sandbox", InlineSandbox)
    return tmp_path


def submitted(store: Store, folder: Path, **fields: Any) -> str:
    return submit(store, parse_job(spec(**JOB | fields), folder=folder), folder)


def by_target(store: Store, job_id: str) -> dict[str, TrialRow]:
    return {row.decisions["formats"]: row for row in store.trials.of_job(job_id)}


def outputs(model: Path, images: Any) -> Any:
    session = OnnxRuntime().open(model)
    (found,) = session.run({"image": images}).values()
    session.close()
    return found


def is_whole(formats: Mapping[str, str], names: set[str]) -> bool:
    return set(formats) == names and set(formats.values()) <= {"int4", "int8"}


def test_two_targets_give_a_front_and_one_is_out_of_reach(store: Store, folder: Path) -> None:
    job_id = submitted(store, folder)
    assert Controller(store, job_id).run() is JobState.DONE
    rows = by_target(store, job_id)
    assert list(rows) == ["fp32", "16", "50", "65"]
    assert {target: row.state for target, row in rows.items()} == {
        "fp32": TrialState.DONE, "16": TrialState.DONE, "50": TrialState.DONE, "65": TrialState.INFEASIBLE,
    }  # fmt: skip
    assert rows["65"].reason == "no formats make the model 65 times cheaper than fp32: at most 64 times"
    assert rows["65"].metrics == {}

    baseline = rows["fp32"].metrics
    assert "formats" not in baseline
    assert baseline["speedup"]["ratio"] == 1
    for target in ("16", "50"):
        metrics = rows[target].metrics
        assert is_whole(metrics["formats"], {group["name"] for group in facts(store, job_id)["groups"]})
        simulated = "int4" in metrics["formats"].values()
        assert metrics.get("simulated_formats", False) is simulated
        assert ("speedup" in metrics, "latency_ms" in metrics) == (not simulated, not simulated)
        assert metrics["size_bytes"] < baseline["size_bytes"]
        assert 0.9 < metrics["accuracy"] <= 1
    reached = {target: baseline["bit_operations"] / rows[target].metrics["bit_operations"] for target in ("16", "50")}
    assert 16 <= reached["16"] < reached["50"] <= 64  # so short a training does not come near its target
    assert rows["50"].metrics["simulated_formats"] is True

    document = json.loads(json.dumps(front_document(store, job_id)))
    assert document["final"]
    shown = {member["candidate_id"]: member for member in document["front"]}
    member = shown[rows["50"].candidate_id]
    assert "latency_ms" not in member["metrics"]
    assert "speedup" not in member["metrics"]
    assert member["formats"] == rows["50"].metrics["formats"]
    assert json.dumps(trials_document(store, job_id))
    for row in rows.values():
        assert json.dumps(candidate_document(store, row.candidate_id))

    receipt = export_candidate(store, rows["50"].candidate_id, folder / "bundle")
    assert (receipt["verdict"], receipt["findings"]) == ("confirmed", [])
    assert receipt["latency"] is None
    assert receipt["measurement"] is None
    assert receipt["model_sha256"] == rows["50"].artifact_sha256
    assert receipt["quality"]["validation"]["accuracy"]["value"] == rows["50"].metrics["accuracy"]
    task = make_task()
    answers = outputs(folder / "bundle" / "model.onnx", task.inputs("validation")["image"])
    score = task.score({"logits": answers}, "validation")["accuracy"]
    assert np.mean(score) == rows["50"].metrics["accuracy"]


def facts(store: Store, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (store.jobs.get(job_id).baseline or {})["facts"]
    return found


def test_formats_are_decisions_for_any_other_strategy(store: Store, folder: Path) -> None:
    """What the device computes in is measured; for what it does not compute in no speed is claimed."""
    job_id = submitted(
        store, folder, strategy={"name": "random", "options": {"batch": 4}}, budget={"trials": 4},
        recovery=RECOVERY | {"steps": 8}, objectives=[*JOB["objectives"], {"metric": "speedup", "direction": "max"}],
    )  # fmt: skip
    assert Controller(store, job_id).run() is JobState.DONE
    plain, int4, int8, mixed = store.trials.of_job(job_id)
    names = [group["name"] for group in facts(store, job_id)["groups"]]
    for row in (int4, int8, mixed):
        assert row.metrics["formats"] == {name: row.decisions[f"formats:{name}"] for name in names}
    costs = [row.metrics["bit_operations"] for row in (plain, int4, int8)]
    assert [costs[0] / cost for cost in costs] == [1, 64, 16]

    for row in (int4, mixed):
        assert (row.state, row.reason) == (TrialState.INFEASIBLE, "no value for speedup")
        assert row.metrics["simulated_formats"]
    assert int8.state is TrialState.DONE
    assert int8.metrics["speedup"]["ratio"] == 2
    assert "simulated_formats" not in int8.metrics
    assert {member["candidate_id"] for member in front_document(store, job_id)["front"]} <= {
        plain.candidate_id, int8.candidate_id,
    }  # fmt: skip
    receipt = export_candidate(store, int8.candidate_id, folder / "bundle")
    assert receipt["verdict"] == "confirmed"
    assert receipt["latency"]["speedup"]["ratio"] == 2


def test_an_interrupted_job_ends_as_any_other(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {"recovery": RECOVERY | {"steps": 6, "evaluate_every": 2}, "strategy": {
        "name": "fliqs", "options": {"targets": [40]},
    }}  # fmt: skip
    whole_id = submitted(store, folder, **short)
    Controller(store, whole_id).run()
    whole = by_target(store, whole_id)["40"]
    for file in folder.rglob("structures/*"):
        file.unlink()

    def interrupt(text: str) -> None:
        if text.startswith("training: step 4"):
            raise KeyboardInterrupt

    job_id = submitted(store, folder, **short)
    with monkeypatch.context() as patched:
        patched.setattr("search.trials.module_variants.report", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Controller(store, job_id).run()
    assert store.jobs.get(job_id).state is JobState.INTERRUPTED
    assert [file.suffix for file in folder.rglob("structures/*")] == [".checkpoint"]

    steps: list[str] = []
    monkeypatch.setattr("search.trials.module_variants.report", steps.append)
    assert Controller(store, job_id).run() is JobState.DONE
    assert [text for text in steps if text.startswith("training: step 2 ")] == []
    again = by_target(store, job_id)["40"]
    assert again.artifact_sha256 == whole.artifact_sha256
    assert again.metrics["formats"] == whole.metrics["formats"]
    assert again.metrics["accuracy"] == whole.metrics["accuracy"]


def test_a_dry_run_trains_nothing(store: Store, folder: Path) -> None:
    job_id = submitted(store, folder, devices=["dry-run"])
    assert Controller(store, job_id).run() is JobState.DONE
    assert list(by_target(store, job_id)) == ["fp32", "16", "50", "65"]
    assert not list(folder.rglob("structures/*"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"recovery": None}, "recovery is null"),
        ({"strategy": {"name": "fliqs", "options": {"cost": "latency"}}}, "no runtime computes in int4"),
    ],
)
def test_what_cannot_be_done_ends_the_job_with_a_reason(
    store: Store, folder: Path, fields: dict[str, Any], said: str
) -> None:
    job_id = submitted(store, folder, **fields)
    with pytest.raises(InvalidInput, match=said):
        Controller(store, job_id).run()
    row = store.jobs.get(job_id)
    assert row.state is JobState.FAILED
    assert said in (row.error or "")


def test_another_strategy_searches_with_the_same_training(store: Store, folder: Path) -> None:
    """Equal options of the search give equal files, whichever strategy proposes the targets."""
    options = JOB["strategy"]["options"] | {"targets": [16]}
    by_name = submitted(store, folder, strategy={"name": "fliqs", "options": options})
    space = {"formats": {"choices": ["int4", "int8"], "search": options}}
    by_space = submitted(store, folder, space=space, strategy={"name": "random"}, budget={"trials": 2})
    rows = []
    for job_id in (by_name, by_space):
        assert Controller(store, job_id).run() is JobState.DONE
        searched = by_target(store, job_id)["16"]
        rows.append((searched.digest, searched.metrics["formats"]))
    assert rows[0] == rows[1]


def test_a_search_is_described_once(folder: Path) -> None:
    space = {"formats": {"search": {"targets": [16]}}}
    with pytest.raises(InvalidInput, match=r"space\.formats\.search: the strategy fliqs has these options") as error:
        parse_job(spec(**JOB | {"space": space}), folder=folder)
    assert error.value.hint == "move them to strategy.options, or take another strategy"
