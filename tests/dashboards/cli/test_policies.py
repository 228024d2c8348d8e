"""Commands about policies, and the files that they write and read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboards.cli import run_app
from search.policies.networks import RemovalNetwork
from search.policies.sequence import SequencePolicy
from search.policy_store import LARGEST_FILE, PolicyStore

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command, and returns what it printed."""

    def run_command(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run_app(list(arguments)) == code
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run_command


@pytest.fixture
def weights(home: Path) -> dict[str, Any]:
    """Weights of a policy, which the store has under the name ``small``."""
    weights = SequencePolicy(RemovalNetwork, [[0.5], [0.25]], [2, 2], seed=3).weights()
    PolicyStore({"job": "j1", "teacher": "digits", "devices": ("dry-run",)})["small"] = {
        "strategy": "n2n",
        "reward": "accuracy, parameters",
        "rollouts": 200,
        "best_reward": 0.9125,
        "networks": {"removal": weights},
    }
    return weights


def test_there_are_none(home: Path, run: Run) -> None:
    assert "no policies; a job stores them" in run("policies", "list")
    assert json.loads(run("policies", "list", "--format", "json")) == {"policies": []}
    for arguments in (["show", "x"], ["remove", "x"], ["export", "x", "y"]):
        assert "no policies 'x'" in run("policies", *arguments, code=3)


def test_they_are_listed_with_their_origin(weights: dict[str, Any], run: Run) -> None:
    assert "small" in run("policies", "list")
    shown = json.loads(run("policies", "show", "small", "--format", "json"))
    assert (shown["teacher"], shown["devices"], shown["job"]) == ("digits", ["dry-run"], "j1")
    assert (shown["rollouts"], shown["best_reward"]) == (200, 0.9125)
    assert shown["networks"]["removal"] > 10_000
    assert "0.912" in run("policies", "show", "small")


def test_the_family_tells_what_they_fit(weights: dict[str, Any], tmp_path: Path, run: Run) -> None:
    """Those that an older version stored have none."""
    old = json.loads(run("policies", "show", "small", "--format", "json"))
    assert (old["family"], old["encodings"], old["choices"]) == ("", {}, {})
    assert "family" not in run("policies", "show", "small")
    learnt = {"family": "conv 1, linear 1", "encodings": {"b": [1.0, 0.5], "a": [0.0, 0.25]}, "choices": {"removal": 2}}
    PolicyStore({"job": "j2", "teacher": "digits"})["new"] = {**PolicyStore()["small"], **learnt}
    file = tmp_path / "new.json"
    run("policies", "export", "new", str(file))
    run("policies", "import", str(file), "--name", "again")
    shown = json.loads(run("policies", "show", "again", "--format", "json"))
    assert {key: shown[key] for key in learnt} == learnt
    assert list(shown["encodings"]) == ["b", "a"]
    assert "conv 1, linear 1" in run("policies", "list")
    assert "removal 2" in run("policies", "show", "again")
    (listed, *_) = json.loads(run("policies", "list", "--format", "json"))["policies"]
    assert (listed["family"], "encodings" in listed) == ("conv 1, linear 1", False)
    bad = json.loads(file.read_text()) | {"name": "bad", "encodings": {"a": [1e300]}}
    file.write_text(json.dumps(bad))
    assert "encodings" in run("policies", "import", str(file), code=2)


def test_a_file_carries_them_to_another_machine(weights: dict[str, Any], tmp_path: Path, run: Run) -> None:
    file = tmp_path / "small.json"
    run("policies", "export", "small", str(file))
    assert "exists already" in run("policies", "export", "small", str(file), code=2)
    assert "exist already" in run("policies", "import", str(file), code=2)
    before = PolicyStore().find("small")
    run("policies", "remove", "small")
    run("policies", "import", str(file))
    assert "name: " in run("policies", "import", str(file), "--name", "n" * 10_000, code=2)
    run("policies", "import", str(file), "--name", "other")
    assert PolicyStore().find("small") == before
    assert list(PolicyStore()) == ["other", "small"]
    assert PolicyStore()["other"]["networks"]["removal"] == weights


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("shape", [2], "not the shape"),
        ("shape", [-1], "greater than or equal to 0"),
        ("float32", "***", "not base64"),
        ("float32", "AADAfw==", "NaN"),
    ],
)
def test_damaged_weights_are_refused(
    weights: dict[str, Any], tmp_path: Path, run: Run, key: str, value: Any, said: str
) -> None:
    data = PolicyStore().find("small").model_dump(mode="json") | {"name": "damaged"}
    data["networks"]["removal"]["head.bias"] = {"shape": [1], "float32": "AAAAAA==", key: value}
    file = tmp_path / "damaged.json"
    file.write_text(json.dumps(data))
    assert said in run("policies", "import", str(file), code=2)


def test_other_files_are_refused(home: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "other"
    assert "No such file" in run("policies", "import", str(file), code=2)
    contents = {b"\x80\x04K": "not JSON", b"[" * 100_000: "not JSON", b"[]": "has no policies"}
    for content, said in {**contents, b" " * (LARGEST_FILE + 1): "larger than 4 MB"}.items():
        file.write_bytes(content)
        assert said in run("policies", "import", str(file), code=2)
