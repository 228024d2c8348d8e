"""Misspelt metrics are refused before anything is trained, measured or stored."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from small_jobs import spec, write_classifier

from dashboards.cli import run_app
from hwprofiles.errors import InvalidInput
from search.job.default_objectives import resolve_objectives
from search.job.spec import parse_job
from search.tasks.metric_names import HANDFUL, metric_names_of

OWN_TASK = """
    import numpy as np, torch
    from search.tasks import TorchTask

    def make_task(evaluated=True):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(4, 3))
        rows = {split: {"x": np.zeros((32, 4), np.float32)} for split in ("calibration", "validation", "test")}

        def evaluate(predict, split):
            outputs = next(iter(predict(rows[split]).values()))
            return {"word_error": float(len(outputs) - 32), "other.part": 0.0}

        return TorchTask(net, rows, evaluate=evaluate if evaluated else None)
"""


def checked(folder: Path, device: str = "local-cpu", **fields: Any) -> None:
    resolve_objectives(parse_job(spec(devices=[device], **fields), folder=folder), folder)


def maximised(*names: str) -> list[dict[str, str]]:
    return [{"metric": name, "direction": "max"} for name in names]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_classifier(tmp_path)
    (tmp_path / "mine.py").write_text(textwrap.dedent(OWN_TASK))
    return tmp_path


class TestChecked:
    def test_a_misspelling_names_what_was_meant(self, folder: Path) -> None:
        with pytest.raises(InvalidInput, match=r"objectives\.0: the task has no metric 'acuracy'") as error:
            checked(folder, objectives=maximised("acuracy", "speedup"))
        assert error.value.hint == "did you mean 'accuracy'?"

    def test_so_does_one_in_a_constraint(self, folder: Path) -> None:
        with pytest.raises(InvalidInput, match=r"constraints\.1: the task has no metric 'acc'"):
            checked(folder, constraints=["speedup >= 1", "acc >= 0.9"])

    @pytest.mark.parametrize(
        "name", ["accuracy", "nll", "cosine", "speedup", "latency_ms.p90", "size_bytes", "cold_start_ms", "energy_mj"]
    )
    def test_what_there_is(self, folder: Path, name: str) -> None:
        checked(folder, objectives=maximised(name))

    def test_labels_make_the_difference(self, folder: Path) -> None:
        import numpy as np

        with np.load(folder / "samples.npz") as data:
            np.savez(folder / "samples.npz", x=data["x"])
        with pytest.raises(InvalidInput, match="no metric 'accuracy'"):
            checked(folder, objectives=maximised("accuracy"))

    def test_the_teacher_of_a_task_is_not_trained_for_that(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("search.tasks.digits.Digits.export", None)
        with pytest.raises(InvalidInput, match="no metric 'acuracy'"):
            checked(folder, task={"name": "digits"}, objectives=maximised("acuracy"))
        checked(folder, task={"name": "digits", "options": {"false_negatives": [3]}}, objectives=maximised("fnr:3"))

    def test_a_dry_run_knows_what_it_makes_up(self, folder: Path) -> None:
        checked(folder, "dry-run", task={"name": "./mine.py:make_task"}, objectives=maximised("accuracy"))
        with pytest.raises(InvalidInput, match="no metric 'nll'"):
            checked(folder, "dry-run", objectives=maximised("nll"))

    def test_a_modelled_device_is_not_asked_for_throughput(self, folder: Path) -> None:
        checked(folder, "raspberry-pi-5", objectives=maximised("accuracy", "speedup", "bit_operations"))
        with pytest.raises(InvalidInput, match="no metric 'throughput'"):
            checked(folder, "raspberry-pi-5", objectives=maximised("throughput"))

    def test_a_task_of_the_user_s_own_is_evaluated_in_a_process_of_its_own(self, folder: Path) -> None:
        task = {"name": "./mine.py:make_task"}
        checked(folder, task=task, objectives=maximised("word_error"))
        with pytest.raises(InvalidInput, match="no metric 'word_eror'") as error:
            checked(folder, task=task, objectives=maximised("word_eror"))
        assert error.value.hint.startswith("did you mean 'word_error'?")

    def test_nobody_opens_it_for_metrics_that_every_task_has(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("search.job.metric_names.in_own_process", None)
        checked(folder, task={"name": "./mine.py:make_task"}, objectives=maximised("cosine", "speedup"))


class TestOwnTask:
    def test_a_handful_answers_for_all(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from search.tasks import metric_names

        run_all, seen = metric_names.run_all, []

        def counted(session: Any, samples: Any, **how: Any) -> Any:
            seen.append(len(samples["x"]))
            return run_all(session, samples, **how)

        monkeypatch.setattr(metric_names, "run_all", counted)
        assert metric_names_of("./mine.py:make_task", {}, folder) == {"word_error", "other.part"}
        assert seen == [HANDFUL]

    def test_one_without_labels_and_evaluation_has_none(self, folder: Path) -> None:
        assert metric_names_of("./mine.py:make_task", {"evaluated": False}, folder) == frozenset()

    def test_an_evaluation_that_fails_says_nothing(self, folder: Path) -> None:
        text = (folder / "mine.py").read_text().replace("len(outputs) - 32", "1 / 0")
        (folder / "broken.py").write_text(text)
        assert metric_names_of("./broken.py:make_task", {}, folder) is None


def test_run_leaves_no_job_behind(home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(spec(devices=["local-cpu"], objectives=maximised("acuracy"))))
    assert run_app(["run", str(path)]) == 2
    assert "did you mean 'accuracy'?" in capsys.readouterr().err
    assert not (home / "paretune.db").exists()


def test_an_unknown_loss_is_refused_though_nothing_trains(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"recovery\.losses: unknown loss 'mse'"):
        parse_job(spec(recovery={"losses": {"mse": {}}}), folder=folder)
