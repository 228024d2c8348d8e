"""``paretune check``: what a job would do, without starting it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_jobs import write_job

from dashboards.cli import run_app

DOCS = Path(__file__).parents[3] / "docs"

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_app(["check", *arguments])
        return code, *capsys.readouterr()

    return call


def check_keys(documented: Any, given: Any) -> None:
    if isinstance(documented, dict):
        assert documented.keys() == given.keys()
        for key in documented:
            if key not in ("job", "coverage"):
                check_keys(documented[key], given[key])
    elif isinstance(documented, list) and documented and isinstance(documented[0], dict):
        check_keys(documented[0], given[0])


def test_a_job_on_this_machine(run: Run, home: Path) -> None:
    code, out, _ = run("model.onnx", "--format", "json")
    given = json.loads(out)
    block = re.search(r"```json job-check\n(.*?)```", (DOCS / "command-line.md").read_text(), re.DOTALL)
    assert code == 0
    assert block
    check_keys(json.loads(block[1]), given)
    assert given["space"]["decisions"] == given["coverage"]["decided"] == 4
    assert given["estimate"]["latency_ms"] > 0
    assert 0 < given["estimate"]["total_s"] <= 600
    assert given["notes"][0].startswith("no data was given")
    assert not list(home.rglob("*.db"))
    assert not (home / "jobs").exists()


def test_a_table(run: Run, folder: Path) -> None:
    code, out, _ = run(str(write_job(folder, constraints=["accuracy >= 0.5"])))
    assert code == 0
    for said in (
        "small: can be run", "device dry-run: simulated, measures nothing",
        "objectives: accuracy (max), speedup (max) (default; the task has labels)",
        "constraint: accuracy >= 0.5", "space: 4 decisions, 625 candidates", "4 of 4 layers decided",
        "time: not estimated, nothing was measured",
    ):  # fmt: skip
        assert said in out
    assert "--minutes" not in out


def test_a_limit_that_no_file_says_is_said(run: Run) -> None:
    assert "up to 60 candidates (--trials) within 10 min (--minutes)" in run("model.onnx", "--device", "dry-run")[1]


def test_a_task_is_opened_in_a_process_of_its_own(run: Run, folder: Path) -> None:
    (folder / "my_task.py").write_text("def make_task():\n    raise RuntimeError('no weights here')\n")
    code, _, err = run("my_task.py", "--device", "dry-run")
    assert code == 4
    assert "no weights here" in err


def test_a_model_that_is_trained_on_first_use_is_not_trained(run: Run, home: Path) -> None:
    code, out, _ = run("digits", "--device", "raspberry-pi-5")
    assert code == 0
    assert "digits: can be run" in out
    assert not (home / "cache" / "teachers").exists()
