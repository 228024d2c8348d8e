"""The jobs in ``examples/`` can be run as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from inline_search import without_ray

from dashboards.cli import run_app
from search.job.spec import Job, load_job, parse_job

EXAMPLES = Path(__file__).parents[2] / "examples"
JOBS = sorted(EXAMPLES.glob("*.yaml"))


def test_there_are_some() -> None:
    assert {"digits.yaml", "onnx.yaml", "two-devices.yaml"} <= {path.name for path in JOBS}


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
