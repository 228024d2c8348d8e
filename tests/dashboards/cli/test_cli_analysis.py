"""``paretune analyse``: what it prints and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from capability_record import capability_of
from small_jobs import write_classifier

from dashboards.cli import run_app
from hwprofiles import find_device
from search.store import Store


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    write_classifier(tmp_path)
    return tmp_path


def test_a_model_as_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["analyse", str(folder / "model.onnx"), "--device", "dry-run"]) == 0
    text = capsys.readouterr().out
    assert "4 layers" in text
    assert "4 of 4" in text
    assert "paretune devices capability dry-run" in text


def test_as_json_with_what_the_device_gains(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = find_device("dry-run")
    url = f"sqlite:///{folder}/jobs.db"
    with Store(url) as store:
        store.devices.set_capability(profile, capability_of(profile).to_dict())
    arguments = ["analyse", str(folder / "model.onnx"), "--device", "dry-run", "--db", url]
    assert run_app([*arguments, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["device"]["asked"]
    assert run_app(arguments) == 0
    assert "conv3x3 in steps of 16" in capsys.readouterr().out


def test_page_and_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, picture = folder / "a.html", folder / "a.png"
    arguments = ["--html", str(page), "--png", str(picture), "--device", "dry-run"]
    assert run_app(["analyse", str(folder / "model.onnx"), *arguments]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "Content-Security-Policy" in text
    assert "data:image/png;base64," in text
    assert "<script" not in text
    assert "wrote" in capsys.readouterr().err


def test_trained_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builders = Path(__file__).parents[2] / "builders"
    task = f"import sys\nsys.path.append({str(builders)!r})\nfrom search.testing.trainable import make_task\n"
    (folder / "task.py").write_text(task)
    recovery = {"steps": 6, "batch": 32, "losses": {"task": {}}, "precision": "float32", "threads": 1}
    job = {"task": {"name": "./task.py:make_task"}, "devices": ["dry-run"], "recovery": recovery}
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    arguments = ["analyse", str(folder / "job.yaml"), "--recover", "--html", str(folder / "a.html")]
    assert run_app([*arguments, "--format", "json"]) == 0
    recovered = json.loads(capsys.readouterr().out)["recovered"]
    assert [row["bits"] for row in recovered["points"]] == [8, 4, 3, 2]
    assert recovered["figure"] > 0.9
    for row in recovered["points"]:
        for kind in ("quantised", "pruned"):
            assert 0 <= row[kind]["before"] <= row[kind]["after"] <= 1 or kind == "pruned"
    assert recovered["points"][0]["quantised"]["before"] == pytest.approx(recovered["figure"], abs=0.05)
    assert recovered["points"][-1]["pruned"]["before"] < recovered["figure"]
    assert "Trained again" in (folder / "a.html").read_text()
    assert run_app(["analyse", str(folder / "model.onnx"), "--recover"]) == 2
    assert "--recover trains the model of a job" in capsys.readouterr().err


def test_what_is_no_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["analyse", str(folder / "missing.onnx")]) == 2
    assert run_app(["analyse", str(folder / "missing.yaml")]) == 2
    assert capsys.readouterr().err.count("error:") == 2
