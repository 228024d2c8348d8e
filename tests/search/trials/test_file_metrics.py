"""A metric that only the file decides needs an evaluator and a row: everything else follows from the two."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from inline_search import InlineSandbox, measuring_briefly, without_ray
from small_jobs import spec, write_job

from dashboards.cli import run_app
from dashboards.server import background
from evaluators.devices import evaluators
from evaluators.devices.evaluator import Evaluation, Evaluator, load_candidate
from evaluators.metrics import METRICS, Metric
from hwprofiles.errors import BuildFailed, InvalidInput
from search.controller.controller import Controller
from search.controller.submission import submit
from search.job.spec import parse_job
from search.states import JobState
from search.store import Store
from search.trials.invented import invent_file_metrics, invent_metric

Run = Callable[..., str]
NAMED = {
    "objectives": [{"metric": "cosine", "direction": "max"}, {"metric": "operators", "direction": "min"}],
    "constraints": ["operators <= baseline * 10"],
    "budget": {"trials": 6},
}


class OperatorEvaluator(Evaluator):
    metrics = frozenset({"operators"})

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        return Evaluation({"operators": len(load_candidate(model).graph.node)})


class BrokenEvaluator(OperatorEvaluator):
    """Cannot evaluate a file that has been quantised."""

    def evaluate(self, model: Path, runtime: str | None = None) -> Evaluation:
        if any(node.op_type == "DequantizeLinear" for node in load_candidate(model).graph.node):
            raise BuildFailed("there are operators that cannot be counted")
        return super().evaluate(model, runtime)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two lines are written, and all that searches runs in this process."""
    row = Metric("Operators of the graph", better="min", cost=True, exact=True, decimals=0)
    monkeypatch.setitem(METRICS, "operators", row)  # type: ignore[misc]
    register(monkeypatch, OperatorEvaluator)
    without_ray(monkeypatch, prepare_here=True)
    monkeypatch.setattr("search.trials.trial.Sandbox", InlineSandbox)
    measuring_briefly(monkeypatch)


def register(monkeypatch: pytest.MonkeyPatch, kind: type[Evaluator]) -> None:
    shipped = [other for other in evaluators.FILE_EVALUATORS if not issubclass(other, OperatorEvaluator)]
    monkeypatch.setattr(evaluators, "FILE_EVALUATORS", (*shipped, kind))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: str | Path) -> str:
        code = run_app([*map(str, arguments)])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return call


def operators(path: Path) -> int:
    return len(onnx.load(path).graph.node)


def fastest(front: dict[str, Any]) -> dict[str, Any]:
    """The member that differs most from the fp32 model."""
    members: list[dict[str, Any]] = front["front"]
    return min(members, key=lambda member: member["metrics"]["cosine"])


@pytest.mark.parametrize("devices", [["raspberry-pi-5"], ["raspberry-pi-5", "graviton3"]])
def test_on_described_devices_every_file_is_evaluated(store: Store, tmp_path: Path, devices: list[str]) -> None:
    write_job(tmp_path)
    job_id = submit(store, parse_job(spec(devices=devices, **NAMED), folder=tmp_path), tmp_path)
    assert Controller(store, job_id).run() is JobState.DONE
    baseline = store.jobs.get(job_id).baseline
    assert baseline is not None
    assert baseline["metrics"]["operators"] == operators(Path(baseline["facts"]["model_path"]))
    trials = store.trials.of_job(job_id)
    assert [trial.state.value for trial in trials] == ["done"] * 6
    assert len({trial.metrics["operators"] for trial in trials}) > 1
    assert not [name for trial in trials for name in trial.metrics if name.startswith("operators@")]


def test_it_is_shown_and_exported_like_every_other(run: Run, tmp_path: Path, home: Path) -> None:
    front = json.loads(run("run", write_job(tmp_path, devices=["local-cpu"], **NAMED), "--format", "json"))
    member = fastest(front)
    count, candidate = member["metrics"]["operators"], member["candidate_id"]
    assert "Operators of the graph" in run("front", front["job_id"])
    assert "Operators of the graph" in run("show", candidate)
    with Store(f"sqlite:///{home / 'paretune.db'}") as store, background(store) as url:
        assert "Operators of the graph" in httpx.get(f"{url}/jobs/{front['job_id']}").text
    run("export", candidate, "-o", tmp_path / "bundle")
    receipt = json.loads((tmp_path / "bundle" / "receipt.json").read_text())
    (check,) = (check for check in receipt["checks"] if check["about"] == "operators")
    assert (check["outcome"], check["claimed"], check["measured"]) == ("agrees", count, count)
    assert count == operators(tmp_path / "bundle" / "model.onnx")
    (bound,) = (check for check in receipt["checks"] if "operators <=" in check["about"])
    assert bound["outcome"] == "agrees"


def test_a_dry_run_makes_it_up(store: Store, tmp_path: Path) -> None:
    write_job(tmp_path)
    job_id = submit(store, parse_job(spec(**NAMED), folder=tmp_path), tmp_path)
    assert Controller(store, job_id).run() is JobState.DONE
    baseline = store.jobs.get(job_id).baseline
    assert baseline is not None
    assert baseline["metrics"]["operators"] == 1.0
    found = [trial.metrics["operators"] for trial in store.trials.of_job(job_id)]
    assert max(found) == found[0] == 1.0  # the fp32 model is the first candidate
    assert len(set(found)) == len(found) == 6


def test_a_file_that_cannot_be_evaluated_is_a_failed_candidate(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, BrokenEvaluator)
    write_job(tmp_path)
    job_id = submit(store, parse_job(spec(devices=["raspberry-pi-5"], **NAMED), folder=tmp_path), tmp_path)
    assert Controller(store, job_id).run() is JobState.DONE
    trials = store.trials.of_job(job_id)
    assert {trial.state.value for trial in trials} == {"done", "build_failed"}
    assert "there are operators that cannot be counted" in {trial.reason for trial in trials}


def test_a_row_without_an_evaluator_ends_the_job_with_the_metrics_that_there_are(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluators, "FILE_EVALUATORS", (evaluators.SizeEvaluator,))
    write_job(tmp_path)
    job_id = submit(store, parse_job(spec(devices=["raspberry-pi-5"], **NAMED), folder=tmp_path), tmp_path)
    with pytest.raises(InvalidInput, match="no metric 'operators'") as error:
        Controller(store, job_id).run()
    assert "size_bytes" in error.value.hint
    assert not {"intervals", "quality_runtime"} & set(error.value.hint.removeprefix("known: ").split(", "))


class TestInvented:
    """Compression is for costs; the fp32 model is best in everything else."""

    @pytest.mark.parametrize(
        ("row", "usual", "least", "most"),
        [
            (Metric("Codebooks", "B", "min", cost=True), 1.0, 0.0, 1.0),
            (Metric("Codebooks", "B", "min", cost=True, baseline=0.0), 0.0, 0.0, 0.0),
            (Metric("Gain", cost=True, baseline=2.0), 2.0, 2.0, 4.0),
            (Metric("Error", better="min"), 0.0, 0.0, 1.0),
            (Metric("Error", better="min", baseline=3.0), 3.0, 3.0, 6.0),
            (Metric("Agreement"), 1.0, 0.0, 1.0),
            (Metric("Agreement", baseline=0.5), 0.5, 0.0, 0.5),
        ],
    )
    def test_by_the_row(self, row: Metric, usual: float, least: float, most: float) -> None:
        assert invent_metric("one", row, None) == usual
        found = [invent_metric("one", row, str(number)) for number in range(200)]
        assert found == [invent_metric("one", row, str(number)) for number in range(200)]
        assert least <= min(found) <= max(found) <= most
        if least < most:
            assert max(found) - min(found) > 0.9 * (most - least)

    def test_only_what_the_job_names_and_nothing_knows(self, tmp_path: Path) -> None:
        write_job(tmp_path)
        names = ["operators", "size_bytes", "sparse_size_bytes"]
        objectives = [{"metric": name, "direction": "min"} for name in names]
        job = parse_job(spec(objectives=objectives), folder=tmp_path)
        assert invent_file_metrics(job, {"size_bytes": 9}, "a").keys() == {"operators", "sparse_size_bytes"}
