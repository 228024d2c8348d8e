"""What a technique of a user's own package brings is searched by, shown and exported like ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contexts import context_of
from small_jobs import spec, write_classifier

from dashboards import figures
from dashboards.documents.display import display_of
from dashboards.words.metrics import metric_names
from hwprofiles import find_device
from hwprofiles.errors import InvalidInput
from search.export.comparison import Exact
from search.export.verdict import Evidence
from search.fronts.pareto import reference_point
from search.fronts.views import View
from search.job.metric_names import check_names
from search.job.spec import Job, parse_job
from search.strategies.observations import Axes
from search.techniques import own_metrics, sections_of
from search.trials.preparation import Preparation
from search.trials.trial import TrialRunner
from search.trials.workspace import Workspace

OBJECTIVES = [{"metric": "cosine", "direction": "max"}, {"metric": "codebook_bytes", "direction": "min"}]


pytestmark = pytest.mark.usefixtures("toy_package")


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    write_classifier(tmp_path)

    def of(**fields: Any) -> Job:
        fields = {"space": {"precision": {}, "codebook": {}}, "objectives": OBJECTIVES, **fields}
        return parse_job(spec(**fields), folder=tmp_path)

    return of


def test_its_stage_is_its_place() -> None:
    everything = {name: {} for name in ("precision", "codebook", "formats", "graph", "sparsity", "pruning", "runtime")}
    order = ["runtime", "pruning", "sparsity", "graph", "codebook", "formats", "precision"]
    assert list(sections_of(everything)) == order
    assert "codebook" not in sections_of(None)


class TestMetric:
    def test_a_job_may_name_it(self, job: Callable[..., Job]) -> None:
        profile = find_device("local-cpu")
        check_names(job(constraints=["codebook_bytes <= 64"]), profile, frozenset)
        with pytest.raises(InvalidInput, match="no metric 'codebook_bytes'"):
            check_names(job(space={"precision": {}}), profile, frozenset)

    def test_it_is_the_cost_that_its_row_says(self, job: Callable[..., Job]) -> None:
        objectives = job().joint_objectives
        assert Axes.of(objectives).costs == (1,)
        assert reference_point(objectives, {"cosine": 1.0, "codebook_bytes": 10.0})["codebook_bytes"] == 10.0

    def test_it_is_titled_and_printed_by_its_row(self) -> None:
        assert figures.metric_title("codebook_bytes") == "Size of the codebooks"
        assert figures.figure(2048, "codebook_bytes") == "2.05 kB"

    def test_a_receipt_compares_it(self, job: Callable[..., Job]) -> None:
        claimed, measured = {"codebook_bytes": 32}, {"codebook_bytes": 48}
        view = View(None, job().joint_objectives, ())
        evidence = Evidence(view, claimed, measured, {}, {}, {}, own=tuple(own_metrics(["codebook"])))
        assert Exact("codebook_bytes", 32, 48) in evidence.comparisons()


def test_a_candidate_is_built_and_shown(job: Callable[..., Job], tmp_path: Path) -> None:
    context = context_of(job(), tmp_path)
    workspace = Workspace(context)
    space = workspace.space(None)
    assert space.by_name["codebook"].choices == ("none", "16", "4")
    assert workspace.baseline_metrics()["codebook_bytes"] == 0
    decisions = space.baseline().decisions | {"codebook": "4"}
    metrics = json.loads(json.dumps(workspace.build(decisions, tmp_path / "built.onnx").metrics))
    assert metrics["codebook_bytes"] == 16 * len(metrics["display"][0]["fields"]) > 0
    assert "codebook_bytes" in metric_names(metrics)
    strip, fields = display_of(space, decisions, metrics)
    assert (strip["kind"], strip["blocks"].keys()) == ("strip", {group.name for group in workspace.groups})
    assert (fields["kind"], fields["title"], set(fields["fields"].values())) == ("fields", "Codebooks", {"16 B"})


def test_a_dry_run_makes_it_up(job: Callable[..., Job], tmp_path: Path) -> None:
    context = context_of(job(devices=["dry-run"]), tmp_path, find_device("dry-run"))
    prepared = Preparation(Workspace(context)).prepare()
    assert prepared.metrics["codebook_bytes"] == 1.0
    candidate = prepared.space.candidate(prepared.space.baseline().decisions | {"codebook": "4"})
    runner = TrialRunner(context.with_preparation(prepared.facts, prepared.space), prepared.facts, tmp_path)
    outcomes = [runner.run(candidate.decisions, candidate.digest) for _ in range(2)]
    runner.close()
    assert 0 <= outcomes[0].metrics["codebook_bytes"] == outcomes[1].metrics["codebook_bytes"] <= 1
