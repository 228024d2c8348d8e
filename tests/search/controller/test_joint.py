"""Whole searches in which modules change: pruned, trained, quantised, measured, exported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from costed_device import CostedDevice
from inline_search import InlineSandbox, with_device, without_ray
from number_formats import number_formats
from small_jobs import spec

from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.testing.fake_device import FakeDevice
from hwprofiles.errors import TrainingStopped
from search.controller.controller import Controller
from search.controller.submission import submit
from search.export.export import export_candidate
from search.fronts.pareto import hypervolume
from search.job.facts import JobFacts
from search.job.spec import parse_job
from search.prediction.predictor import Predictor
from search.space.candidate import Space
from search.states import JobState, TrialState
from search.store import Store
from search.trials.module_variants import ModuleVariants

SPACE: dict[str, Any] = {
    "pruning": {"ratios": [0.5], "round": 2, "criterion": "l1", "blocks": False},
    "precision": {"choices": ["fp32", "int8"], "activations": "uint8"},
}
RECOVERY = {"steps": 4, "batch": 32, "losses": {"task": {}}, "precision": "float32", "evaluate_every": 2, "threads": 1}


def speed(path: Path) -> float:
    """Smaller files are faster, integers twice as fast."""
    return 40_000 / path.stat().st_size * (2 if "uint8" in number_formats(path) else 1)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task that can be trained; whatever is measured is asked of the size of its file."""
    (tmp_path / "task.py").write_text("from search.testing.trainable import make_task\n")
    without_ray(monkeypatch, prepare_here=True)
    with_device(monkeypatch, FakeDevice(speed))
    monkeypatch.setattr("search.export.export.Sandbox", InlineSandbox)
    return tmp_path


def fields(**more: Any) -> dict[str, Any]:
    return spec(
        task={"name": "./task.py:make_task"}, devices=["local-cpu"], space=SPACE, recovery=RECOVERY,
        objectives=[{"metric": "accuracy", "direction": "max"}, {"metric": "speedup", "direction": "max"}],
        strategy={"name": "random", "options": {"batch": 3}}, budget={"trials": 6}, **more,
    )  # fmt: skip


def run(store: Store, folder: Path, job: Mapping[str, Any]) -> str:
    job_id = submit(store, parse_job(dict(job), folder=folder), folder)
    assert Controller(store, job_id).run() is JobState.DONE
    return job_id


def test_pruned_and_quantised_candidates_are_files_like_any_other(
    store: Store, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = run(store, measured, fields())
    trials = store.trials.of_job(job_id)
    assert {trial.reason for trial in trials if trial.state is not TrialState.INFEASIBLE} == {None}
    pruned = [trial for trial in trials if "0.5" in trial.decisions.values()]
    both = next(trial for trial in pruned if "int8" in trial.decisions.values())
    assert all(len(trial.metrics["training"]["figures"]) == 3 for trial in pruned)
    assert all(("training" in trial.metrics) == (trial in pruned) for trial in trials)
    assert both.metrics["speedup"]["ratio"] > max(
        trial.metrics["speedup"]["ratio"] for trial in trials if trial not in pruned
    )
    receipt = export_candidate(store, both.candidate_id, measured / "bundle")
    assert receipt["model_sha256"] == both.artifact_sha256
    assert receipt["quality"]["validation"]["accuracy"]["value"] == both.metrics["accuracy"]
    model = onnx.load(measured / "bundle" / "model.onnx")
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)

    # Whoever has lost the cache gets the same file.
    for file in measured.rglob("structures/*"):
        file.unlink()
    assert export_candidate(store, both.candidate_id, measured / "again")["model_sha256"] == both.artifact_sha256


def test_candidates_of_one_structure_share_a_training(
    store: Store, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    trained = ModuleVariants._train_module

    def counted(structures: ModuleVariants, name: str, *rest: Any) -> Any:
        made.append(name)
        return trained(structures, name, *rest)

    monkeypatch.setattr(ModuleVariants, "_train_module", counted)
    job_id = run(store, measured, fields())
    structures = {
        tuple(value for name, value in trial.decisions.items() if name.startswith("pruning:"))
        for trial in store.trials.of_job(job_id)
    }
    assert len(made) == len(set(made)) == len(structures) - 1
    assert len(structures) < len(store.trials.of_job(job_id))


def test_trainings_that_fall_behind_are_rows_with_a_reason(
    store: Store, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fields()
    job["recovery"] = {**RECOVERY, "steps": 12, "halving": 2}
    job["budget"] = {"trials": 12}
    job_id = run(store, measured, job)
    trials = store.trials.of_job(job_id)
    stopped = [trial for trial in trials if trial.state is TrialState.STOPPED]
    assert stopped
    for trial in stopped:
        assert trial.reason is not None
        assert trial.reason in (f"after {n} evaluations its training was behind others'" for n in (2, 4))
        assert trial.metrics["training"]["stopped"]
        assert trial.artifact_sha256 is None
    assert TrainingStopped.state == "stopped"
    again = run(store, measured, job | {"name": "again"})
    assert [(t.digest, t.state) for t in store.trials.of_job(again)] == [(t.digest, t.state) for t in trials]


@pytest.mark.parametrize("strategy", ["nsga2", "random", "sensitivity"])
def test_every_strategy_searches_both_at_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """On the modelled device, where nothing is trained."""
    without_ray(monkeypatch, prepare_here=True)
    areas = {}
    for name, space in {"both": SPACE, "pruning": ["pruning"], "precision": ["precision"]}.items():
        options = {"task": {"name": "digits", "options": {"preset": "bench"}}, "budget": {"trials": 60}}
        options["space"] = {one: SPACE[one] for one in space}
        job = fields() | options | {"devices": ["dry-run"], "strategy": {"name": strategy}, "name": name}
        job_id = run(store, tmp_path, job)
        row = store.jobs.get(job_id)
        assert not list(tmp_path.rglob("*.pt"))
        front = store.fronts.get(job_id)
        assert front is not None
        points = [store.trials.get(member).metrics for member in front["members"]]
        baseline = (row.baseline or {})["metrics"]["accuracy"]
        areas[name] = hypervolume(
            [(p["accuracy"], float(np.log2(p["speedup"]["ratio"]))) for p in points], (baseline - 0.05, 0.0)
        )
    assert areas["both"] > max(areas["pruning"], areas["precision"])


class Costed(CostedDevice):
    """Compares files by what their nodes cost."""

    def measure(self, request: LatencyRequest) -> Measurement:
        self._speed = lambda path: self.us(request.baseline) / self.us(path)
        return super().measure(request)


def test_pruned_candidates_are_predicted_from_equally_narrow_models(
    store: Store, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("costed_device.US_PER_MACS", 1e-3)
    with_device(monkeypatch, Costed())
    space = {"pruning": {**SPACE["pruning"], "ratios": [0.75, 0.5]}, "precision": SPACE["precision"]}
    job = fields() | {"space": space, "strategy": {"name": "sensitivity", "options": {"batch": 2}}}
    row = store.jobs.get(run(store, measured, job))
    facts = JobFacts.from_dict((row.baseline or {})["facts"])
    tables = facts.layer_tables["local-cpu"]
    assert [set(one.values.values()) for one in tables] == [set(), {"0.75"}, {"0.5"}]
    predictor = Predictor(tables, Space.from_dict(row.space or {}), changes=facts.layer_changes)
    trials = store.trials.of_job(row.job_id)
    assert len({tuple(trial.decisions.values()) for trial in trials}) == len(trials)
    for trial in trials:
        predicted = predictor.speedup(trial.decisions)
        assert predicted == pytest.approx(trial.metrics["speedup"]["ratio"], rel=0.15), trial.decisions
