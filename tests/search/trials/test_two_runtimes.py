"""A whole search whose candidates run in two real runtimes on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inline_search import InlineSandbox, measuring_briefly, without_ray
from small_jobs import spec, write_classifier

from hwprofiles import probe
from search.controller.controller import Controller
from search.controller.submission import submit
from search.export.export import export_candidate
from search.folders import default_database
from search.job.spec import parse_job
from search.states import JobState
from search.store import Store

RUNTIMES = ["onnxruntime", "openvino:f32"]


@pytest.fixture
def fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A job on this machine. What pays is given: asked about models as small as these, it would say now this, now
    that."""
    write_classifier(tmp_path, layers=2)
    without_ray(monkeypatch, prepare_here=True)
    measuring_briefly(monkeypatch)
    monkeypatch.setattr("search.trials.trial.Sandbox", InlineSandbox)
    monkeypatch.setattr("search.export.export.Sandbox", InlineSandbox)
    answer = {"ratio": 2.0, "ci95": [1.9, 2.1], "ms": 1.0, "baseline_ms": 2.0}
    monkeypatch.setattr("search.gains.whole_model.measure_gain", lambda *_, **__: dict(answer))
    return spec(
        devices=["local-cpu"],
        space={"runtime": {"choices": RUNTIMES}, "precision": {"choices": ["fp32", "int8"], "activations": "uint8"}},
        strategy={"name": "random", "options": {"batch": 4}},
        budget={"trials": 4},
    )


def test_candidates_are_built_judged_and_measured_in_their_own_runtime(tmp_path: Path, fields: dict[str, Any]) -> None:
    with Store(default_database()) as store:
        job_id = submit(store, parse_job(fields, folder=tmp_path), tmp_path)
        assert Controller(store, job_id).run() is JobState.DONE
        trials = store.trials.of_job(job_id)
        assert {trial.reason for trial in trials} == {None}
        ran = [(trial.decisions["runtime"], max(trial.decisions.values())) for trial in trials]
        assert {runtime for runtime, _ in ran} == set(RUNTIMES)
        for trial in trials:
            found = store.trials.measurements(trial.candidate_id)
            assert {one["record"]["runtime"] for one in found} == {trial.decisions["runtime"]}
            assert trial.metrics["cosine"] > 0.9
        unchanged = next(t for t in trials if set(t.decisions.values()) == {"onnxruntime", "fp32"})
        assert unchanged.metrics["cosine"] == 1.0
        front = store.fronts.get(job_id)
        assert front is not None
        assert front["members"]

        chosen = next(t for t in trials if t.decisions["runtime"] == "openvino:f32")
        receipt = export_candidate(store, chosen.candidate_id, tmp_path / "bundle")
        manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
        assert manifest["runtime"] == {"name": "openvino:f32", "version": probe.package_version("openvino")}
        assert manifest["model_sha256"] == receipt["model_sha256"] == chosen.artifact_sha256
        assert receipt["quality"]["validation"]["cosine"]["value"] == chosen.metrics["cosine"]
