"""The Python face: what it takes, what it returns, and how it shows."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import json
import re
import sys
from pathlib import Path

import pytest
from command_line import document
from command_line import paretune as command
from inline_search import without_ray
from small_jobs import FinishedJob, spec, write_classifier, write_job, write_two_classifiers

import paretune
from evaluators.measuring.latency import Protocol
from search.folders import default_database
from search.store import database_exists

TASK = """
import numpy as np
import torch
import paretune

def make_task():
    torch.manual_seed(0)
    inputs = {split: {"x": np.random.default_rng(number).standard_normal((32, 8), dtype=np.float32)}
              for number, split in enumerate(("calibration", "validation", "test"))}
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    return paretune.TorchTask(net, inputs)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and samples, where searches run in this process."""
    monkeypatch.chdir(tmp_path)
    without_ray(monkeypatch, prepare_here=True)
    write_classifier(tmp_path)
    return tmp_path


@pytest.fixture
def result(here: Path) -> paretune.Result:
    return paretune.run("model.onnx", data="samples.npz", device="dry-run", trials=10, progress=False)


def test_a_model_becomes_a_front(result: paretune.Result, capsys: pytest.CaptureFixture[str]) -> None:
    assert (result.name, result.state, result.devices) == ("model", "done", ["dry-run"])
    assert result.front
    assert result.best is None or (result.best in result.front and not result.best.unchanged)
    assert result.answer
    assert result.answer in str(result).splitlines()[1]
    assert [goal["metric"] for goal in result.to_dict()["objectives"]] == ["accuracy", "speedup"]
    assert result.baseline.metrics["speedup"] == 1.0
    for member in result.front:
        assert set(member.intervals) <= set(member.metrics)
        assert member.decisions
        with pytest.raises(dataclasses.FrozenInstanceError):
            member.summary = ""  # type: ignore[misc]
    assert capsys.readouterr() == ("", "")


def test_it_is_the_command_s_document(result: paretune.Result, home: Path) -> None:
    assert result.to_dict() == document(command("front", "model", "--format", "json", home=home))
    assert paretune.open("model").to_dict() == result.to_dict()
    assert result.on("dry-run").to_dict() == result.to_dict()
    json.dumps(result.to_dict())


def test_it_shows_as_the_command_does(result: paretune.Result, home: Path) -> None:
    printed = command("front", "model", home=home, COLUMNS="80").stdout
    assert str(result).split() == printed.split()
    assert repr(result) == str(result)
    assert "\x1b" not in str(result)


def test_it_shows_in_a_notebook(result: paretune.Result) -> None:
    shown = result._repr_html_()
    html.parser.HTMLParser().feed(shown)
    assert "<script" not in shown
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', shown)
    assert picture is not None
    assert base64.b64decode(picture[1]).startswith(b"\x89PNG")
    folded = sum(member["unchanged"] or member["like"] is not None for member in result.to_dict()["front"])
    assert shown.count("<tr>") == 2 + len(result.front) - folded


def test_jobs_are_taken_as_files_and_as_dictionaries(here: Path) -> None:
    write_job(here, budget={"trials": 4})
    for target in ("job.yaml", here / "job.yaml", spec(budget={"trials": 4})):
        found = paretune.run(target, name="named", progress=False)
        assert (found.name, found.state) == ("named", "done")


def test_options_override_a_job(here: Path) -> None:
    found = paretune.run(
        spec(), trials=3, objectives=["cosine", "size_bytes:min"], space={"precision": {"choices": ["fp32", "int8"]}},
        constraints="size_bytes <= 1000000", progress=False,
    )  # fmt: skip
    told = found.to_dict()
    assert told["objectives"] == [
        {"metric": "cosine", "direction": "max"}, {"metric": "size_bytes", "direction": "min"}
    ]  # fmt: skip
    assert told["constraints"] == ["size_bytes <= 1000000"]
    assert {value for member in found.front for value in member.decisions.values()} <= {"fp32", "int8"}


def test_a_task_is_taken_as_a_function(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "own_net.py").write_text(TASK)
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "own_net", raising=False)
    import own_net  # type: ignore[import-not-found]

    found = paretune.run(own_net.make_task, device="dry-run", trials=4, progress=False)
    assert (found.name, found.state) == ("own_net", "done")


WRONG = {
    "a misspelt file": (lambda: paretune.run("model.onx"), "model.onx", "did you mean 'model.onnx'?"),
    "arrays": (lambda: paretune.run("model.onnx", data={"x": 1}), "data: must be the path", "numpy.savez"),
    "data of a job": (lambda: paretune.run(spec(), data="samples.npz"), "data: a job names", "task.options.data"),
    "a lambda": (lambda: paretune.run(lambda: None), "cannot import", "my_task.py:make_task"),
    "a number": (lambda: paretune.run(3), "a value of type int", "my_task.py"),
    "a metric": (
        lambda: paretune.run("model.onnx", data="samples.npz", objectives=["acuracy"]),
        "'acuracy'",
        "did you mean 'accuracy'?",
    ),
    "a device": (lambda: paretune.run("model.onnx", device="dryrun"), "device: unknown device", "'dry-run'?"),
    "minutes": (lambda: paretune.run("model.onnx", minutes="3"), "minutes: must be a number", "help(paretune.run)"),
    "a job": (lambda: paretune.open("nothing"), "", "paretune"),
    "a model to profile": (lambda: paretune.profile("nothing.onnx"), "nothing.onnx", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_said_with_their_hint_below_the_traceback(here: Path, name: str) -> None:
    call, message, hint = WRONG[name]
    with pytest.raises(paretune.ParetuneError) as raised:
        call()
    assert message in str(raised.value)
    (note,) = raised.value.__notes__
    assert note.startswith("hint: ")
    assert hint in note
    assert "--" not in str(raised.value)
    assert not database_exists(default_database())


def test_a_function_of_a_notebook_is_explained(here: Path) -> None:
    cell: dict[str, object] = {}
    exec(compile("def make_task(): ...", "<ipython-input-1>", "exec"), cell)
    with pytest.raises(paretune.ParetuneError) as raised:
        paretune.run(cell["make_task"])  # type: ignore[arg-type]
    assert "%%writefile my_task.py" in raised.value.__notes__[0]


def test_a_script_without_guard_does_not_start_itself_again(here: Path) -> None:
    text = TASK + "\nparetune.run(make_task, device='dry-run', trials=2)\n"
    (here / "guardless.py").write_text(text)
    with pytest.raises(paretune.ParetuneError) as raised:
        paretune.run("guardless.py", device="dry-run", trials=2, progress=False)
    assert "__main__" in f"{raised.value} {raised.value.__notes__}"


def test_the_page_s_example_runs(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As written, on the modelled device."""
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    (example,) = re.findall(r"```python front\n(.*?)```", page, re.DOTALL)
    assert 'device="local-cpu", minutes=10' in example
    exec(example.replace('device="local-cpu", minutes=10', 'device="dry-run", trials=8'), {})
    assert "baseline" in capsys.readouterr().out


def test_exports(digits_job: FinishedJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARETUNE_HOME", str(digits_job.home))
    found = paretune.open(digits_job.job_id)
    assert found.best is not None
    receipt = found.export(found.best, tmp_path / "bundle", progress=False)
    assert (tmp_path / "bundle" / "model.onnx").is_file()
    assert receipt["verdict"] in ("confirmed", "inconclusive")
    with pytest.raises(paretune.ParetuneError):
        found.export(found.baseline, tmp_path / "none")


def test_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brief = Protocol(min_pairs=3, min_s=0.0, max_s=0.0, half_width=9.0, usable_width=9.0, attempts=1)
    monkeypatch.setattr("search.analysis.profiling.Protocol", lambda: brief)
    first, second = write_two_classifiers(tmp_path)
    report = paretune.profile(second, against=first, progress=False)
    assert report.latency_ms > 0
    assert report.speedup is not None
    assert str(report).startswith(f"{second}: p50")
    assert "slowest nodes" in repr(report)
    assert report.to_dict()["latency_ms"]["p50"] == report.latency_ms
    assert all(isinstance(text, str) for text in report.findings)
