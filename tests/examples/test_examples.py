"""The jobs in ``examples/`` can be run as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from inline_search import without_ray

from dashboards.cli import run_app
from search.folders import default_database
from search.job.spec import Job, load_job, parse_job
from search.store import Store

EXAMPLES = Path(__file__).parents[2] / "examples"
JOBS = sorted(EXAMPLES.glob("*.yaml"))


def test_there_are_some() -> None:
    named = {"digits.yaml", "n2n.yaml", "onnx.yaml", "staged.yaml", "two-devices.yaml"}
    assert named <= {path.name for path in JOBS}


def test_two_devices_have_a_front_each(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the file has it, but modelled."""
    without_ray(monkeypatch, prepare_here=True)
    path = EXAMPLES / "two-devices.yaml"
    assert run_app(["run", str(path), "--device", "dry-run", "--trials", "16", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [front["device"] for front in document["fronts"].values()] == ["dry-run-t1-b1", "dry-run-t2-b8"]
    assert all(front["front"] for front in document["fronts"].values())
    assert document["front"] == document["fronts"]["dry-run-t1-b1"]["front"]
    assert document["joint"]["front"]


def modelled(name: str, trials: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs an example on the modelled device, and returns its front and the rows of its candidates."""
    without_ray(monkeypatch, prepare_here=True)
    path = EXAMPLES / f"{name}.yaml"
    assert run_app(["run", str(path), "--device", "dry-run", "--trials", str(trials), "--format", "json"]) == 0
    front = json.loads(capsys.readouterr().out)["front"]
    with Store(default_database()) as store:
        return front, store.trials.of_job(store.jobs.get(name).job_id)


def test_the_demo_prunes_and_quantises(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    front, rows = modelled("digits", 10, monkeypatch, capsys)
    changed = [{name.partition(":")[0] for name, v in r.decisions.items() if v not in ("1", "fp32")} for r in rows]
    assert {"pruning", "precision"} in changed
    assert front


def test_students_are_without_layers_then_narrower(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, rows = modelled("n2n", 80, monkeypatch, capsys)
    kept = [{value for name, value in row.decisions.items() if name.endswith("#keep")} for row in rows[8:]]
    widths = [{value for name, value in row.decisions.items() if not name.endswith("#keep")} for row in rows[8:]]
    assert {"0", "1"} in kept
    assert widths[0] == {"1"}
    assert len(widths[-1]) > 2


def test_stages_follow_each_other(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last one trains members of the front, quantised ones among them."""
    _, rows = modelled("staged", 76, monkeypatch, capsys)
    stages = [(row.origin or {})["stage"] for row in rows]
    assert stages == sorted(stages)
    assert set(stages) == {1, 2, 3}
    last = [row.decisions for row in rows if (row.origin or {})["stage"] == 3]
    assert {decisions["training"] for decisions in last} == {"8"}
    assert any("int8" in decisions.values() for decisions in last)
    assert all(set(decisions.values()) & {"0.5", "0.375", "0.25", "0.125"} for decisions in last)


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
class TestJob:
    def test_it_parses(self, path: Path) -> None:
        job = load_job(path)
        assert isinstance(job, Job)
        assert job.devices[0].name == "local-cpu"

    def test_it_parses_again_once_resolved(self, path: Path) -> None:
        job = load_job(path)
        assert parse_job(job.model_dump(mode="json"), folder=path.parent) == job

    def test_it_says_how_to_run_it(self, path: Path) -> None:
        heading = "".join(line for line in path.read_text().splitlines(True) if line.startswith("#"))
        assert f"paretune examples {path.stem} -o {path.name} && paretune run {path.name}" in heading

    def test_names_of_its_own_are_not_the_defaults(self, path: Path) -> None:
        assert yaml.safe_load(path.read_text())["name"] != Job.model_fields["name"].default

    def test_what_makes_its_files_is_there(self, path: Path) -> None:
        for program in re.findall(r"python (\w+\.py)", path.read_text()):
            assert (EXAMPLES / program).is_file()
        options = load_job(path).task.options
        made = [options[name] for name in ("model", "data") if name in options]
        programs = "".join(file.read_text() for file in EXAMPLES.glob("*.py"))
        assert all(name in programs for name in made)
