"""``paretune init``: a commented job file by options or by asking."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from small_jobs import write_job

from dashboards.cli import run_app
from search.job.job_options import JobOptions
from search.job.spec import load_job
from search.job.target import read_target

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: str, answers: str | None = None) -> tuple[int, str, str]:
        typed = io.StringIO(answers or "")
        monkeypatch.setattr(typed, "isatty", lambda: answers is not None)
        monkeypatch.setattr("sys.stdin", typed)
        capsys.readouterr()
        code = run_app(["init", *arguments])
        return code, *capsys.readouterr()

    return call


def test_the_file_says_what_the_options_say(run: Run) -> None:
    code, out, err = run(
        "model.onnx", "--data", "samples.npz", "--device", "dry-run", "--objective", "size_bytes", "--minutes", "2.5",
        "--constraint", "cosine >= 0.9", "--space", "precision", "--seed", "4", "--name", "mine: a model",
    )  # fmt: skip
    assert (code, out) == (0, "")
    assert "wrote job.yaml" in err
    options = JobOptions(
        Path("samples.npz"),
        ["dry-run"],
        ["size_bytes"],
        ["cosine >= 0.9"],
        ["precision"],
        2.5,
        None,
        4,
        "mine: a model",
    )
    assert load_job(Path("job.yaml")) == read_target("model.onnx", options).job


def test_the_file_is_commented_and_has_nothing_strange(run: Run, folder: Path) -> None:
    run("model.onnx")
    text = (folder / "job.yaml").read_text()
    assert text.count("\n# ") >= 7
    assert "{name" not in text
    assert "# Without data, as here, inputs are random" in text
    assert yaml.safe_load(text)["budget"] == {"trials": 60, "minutes": 10}


def test_default_objectives_are_written_out_with_the_reason(run: Run, folder: Path) -> None:
    run("model.onnx", "--data", "samples.npz")
    text = (folder / "job.yaml").read_text()
    assert "# What is better: each a metric, and max or min. These are the default; the task has labels.\n" in text
    assert [goal["metric"] for goal in yaml.safe_load(text)["objectives"]] == ["accuracy", "speedup"]


def test_they_are_offered_on_a_terminal(run: Run) -> None:
    _, _, err = run("--device", "dry-run", "--minutes", "1", answers="model.onnx\nsamples.npz\n\n")
    assert "[accuracy, speedup]" in err


def test_it_can_be_run_from_another_folder(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "jobs").mkdir()
    assert (
        run("model.onnx", "--data", "samples.npz", "--device", "dry-run", "-o", str(tmp_path / "jobs" / "a.yaml"))[0]
        == 0
    )
    assert load_job(tmp_path / "jobs" / "a.yaml").task.options["model"] == "../models/model.onnx"
    assert run_app(["check", str(tmp_path / "jobs" / "a.yaml")]) == 0
    assert "model: can be run" in capsys.readouterr().out


def test_a_task_file_is_found_from_the_job_file(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "my_task.py").write_text("def make_task(): ...")
    (tmp_path / "jobs").mkdir()
    assert run("my_task.py", "--objective", "speedup", "-o", str(tmp_path / "jobs" / "a.yaml"))[0] == 0
    assert load_job(tmp_path / "jobs" / "a.yaml").task.name == "../models/my_task.py:make_task"


def test_an_existing_file_stays(run: Run, folder: Path) -> None:
    (folder / "job.yaml").write_text("mine")
    code, out, err = run("model.onnx")
    assert (code, out) == (2, "")
    assert "-o: job.yaml exists already" in err
    assert (folder / "job.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no model or task was given"),
        (["job_of_mine.yaml"], "is a job file already"),
        (["model.onnx", "-o", "absent/job.yaml"], "there is no folder absent"),
        (["model.onnx", "--objective", "acuracy"], "--objective: the task has no metric 'acuracy'"),
    ],
)
def test_a_mistake_writes_nothing(run: Run, folder: Path, arguments: list[str], said: str) -> None:
    write_job(folder, "job_of_mine.yaml")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert not (folder / "job.yaml").exists()


def test_it_asks_on_a_terminal_until_the_answer_is_right(run: Run) -> None:
    answers = "modl.onnx\nmodel.onnx\nsamples.npz\nlocale-cpu\ndry-run\nspeedup, size_bytes\nsoon\n3\n"
    code, _, err = run(answers=answers)
    assert code == 0, err
    for said in ("did you mean 'model.onnx'?", "did you mean 'local-cpu'?", "'soon' is not a number"):
        assert said in err
    options = JobOptions(Path("samples.npz"), ["dry-run"], ["speedup", "size_bytes"], minutes=3.0)
    assert load_job(Path("job.yaml")) == read_target("model.onnx", options).job


def test_it_does_not_ask_for_what_was_given(run: Run) -> None:
    answers = "model.onnx\n\n"
    code, _, err = run("--device", "dry-run", "--objective", "speedup", "--minutes", "1", answers=answers)
    assert code == 0, err
    assert "data" not in load_job(Path("job.yaml")).task.options
