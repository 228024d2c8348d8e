"""The objectives of a job that names none."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from small_jobs import samples, spec, write_classifier

from search.job.default_objectives import _quality_of, resolve_objectives
from search.job.job_options import JobOptions
from search.job.schema import json_schema
from search.job.spec import Job, parse_job
from search.job.target import TargetJob, read_target, resolve_target

OWN_TASK = """
    import numpy as np
    import torch
    from search.tasks import TorchTask

    def make_task(names=()):
        rows = {split: {"x": np.zeros((32, 4), np.float32)} for split in ("calibration", "validation", "test")}

        def evaluate(predict, split):
            predict(rows[split])
            return {name: 0.5 for name in names}

        return TorchTask(torch.nn.Linear(4, 2), rows, evaluate=evaluate if names else None)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_classifier(tmp_path)
    (tmp_path / "mine.py").write_text(textwrap.dedent(OWN_TASK))
    return tmp_path


def resolved(folder: Path, device: str = "local-cpu", **fields: Any) -> tuple[list[tuple[str, str]], str]:
    job, reason = resolve_objectives(parse_job(spec(devices=[device], **fields), folder=folder), folder)
    assert job.names_objectives
    return [(goal.metric, goal.direction) for goal in job.objectives], reason


@pytest.mark.parametrize("device", ["local-cpu", "dry-run", "raspberry-pi-5"])
def test_labels_give_accuracy(folder: Path, device: str) -> None:
    assert resolved(folder, device) == ([("accuracy", "max"), ("speedup", "max")], "default; the task has labels")


def test_without_labels_outputs_are_compared(folder: Path) -> None:
    task = {"name": "onnx", "options": {"model": "model.onnx"}}
    assert resolved(folder, task=task) == ([("cosine", "max"), ("speedup", "max")], "default; the task has no labels")


def test_objectives_that_are_named_stay(folder: Path) -> None:
    named = [{"metric": "cosine", "direction": "max"}, {"metric": "speedup", "direction": "max"}]
    assert resolved(folder, objectives=named) == ([("cosine", "max"), ("speedup", "max")], "")


def test_a_metric_of_the_task_s_own(folder: Path) -> None:
    task = {"name": "./mine.py:make_task", "options": {"names": ["word_error"]}}
    goals, reason = resolved(folder, task=task)
    assert goals == [("word_error", "min"), ("speedup", "max")]
    assert reason == "default; word_error is the task's own metric, smaller is better"
    assert resolved(folder, "dry-run", task=task) == (
        [("cosine", "max"), ("speedup", "max")], "default; a dry run does not make up word_error",
    )  # fmt: skip


def test_a_task_that_reads_its_folder_is_asked_there(folder: Path) -> None:
    reading = "names = open('names').read().split()\n    rows = {"
    text = textwrap.dedent(OWN_TASK).replace("rows = {", reading, 1)
    (folder / "reads.py").write_text(text)
    (folder / "names").write_text("f1")
    assert resolved(folder, task={"name": "reads.py:make_task"})[0] == [("f1", "max"), ("speedup", "max")]


def test_a_task_file_elsewhere_works_in_its_own_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    target = read_target("../mine.py:make_task")
    assert (target.folder, target.job.task.name) == (Path(".."), "mine.py:make_task")


@pytest.mark.parametrize(
    ("names", "metric", "direction"),
    [
        ({"accuracy", "nll", "fnr:3"}, "accuracy", "max"),
        ({"f1"}, "f1", "max"),
        ({"val-loss"}, "val-loss", "min"),
        ({"lossless"}, "lossless", "max"),
        ({"f1", "recall"}, "cosine", "max"),
        (set(), "cosine", "max"),
        (None, "cosine", "max"),
    ],
)
def test_the_metric_of_quality(names: set[str] | None, metric: str, direction: str) -> None:
    assert _quality_of(None if names is None else frozenset(names))[:2] == (metric, direction)


def test_several_metrics_are_named_to_choose_from() -> None:
    assert _quality_of(frozenset({"f1", "recall"}))[2].endswith("f1, recall; choose with --objective")


def test_the_task_is_asked_after_the_options_and_the_job_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "job.yaml").write_text(json.dumps(spec()))
    for target, options in (
        ("job.yaml", JobOptions(trials=3)),
        ("model.onnx", JobOptions(Path("samples.npz"), devices=["dry-run"])),
    ):
        read = read_target(target, options)
        assert not read.job.names_objectives
        job = resolve_target(read, options)
        assert job.objectives_in_words == "accuracy and speedup (default; the task has labels)"
    options = JobOptions(objectives=["cosine", "size_bytes", "speedup"])
    assert resolve_target(read_target("job.yaml", options), options).objectives_in_words == (
        "cosine, size_bytes and speedup"
    )


def test_a_stored_job_keeps_its_objectives(folder: Path) -> None:
    stored = parse_job(spec(), folder=folder).model_dump(mode="json")
    again = Job.model_validate(stored)
    assert again.names_objectives
    assert resolve_objectives(again, folder) == (again, "")
    assert [goal.metric for goal in again.objectives] == ["cosine", "speedup"]


def test_the_schema_describes_the_default() -> None:
    field = json_schema()["properties"]["objectives"]
    assert "default" not in field
    assert field["description"].startswith("Default: accuracy and speedup if the task has labels")


def test_a_job_as_data_names_no_objectives_that_it_was_not_given(folder: Path) -> None:
    job = parse_job(spec(), folder=folder)
    assert "objectives" not in job.to_dict()
    assert parse_job(job.to_dict(), folder=folder) == job
    assert TargetJob(job, folder, from_file=True).objectives_in_words == "cosine and speedup"
    assert samples()["labels"].size
