"""Commands that only look make no database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dashboards.cli import run_app

LOOKING = [
    ("jobs",), ("status", "x"), ("front", "x"), ("show", "x"), ("export", "x", "-o", "bundle"), ("resume", "x"),
    ("devices", "agents"), ("devices", "revoke", "x"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", LOOKING, ids=lambda found: " ".join(found))
def test_one_that_is_named_but_not_there(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "no" / "such.db"
    assert run_app([*arguments, "--db", f"sqlite:///{place}"]) == 3
    assert "there is no database at" in capsys.readouterr().err
    assert not place.parent.exists()
    assert not (home / "paretune.db").exists()


@pytest.mark.parametrize("arguments", [("jobs",), ("devices", "agents")])
def test_before_the_first_job_there_is_nothing(
    home: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app([*arguments, "--format", "json"]) == 0
    assert list(json.loads(capsys.readouterr().out).values()) == [[]]
    assert not (home / "paretune.db").exists()


def test_the_environment_names_one_too(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARETUNE_DB", f"sqlite:///{tmp_path / 'typo.db'}")
    assert run_app(["jobs"]) == 3
    assert "there is no database at" in capsys.readouterr().err
    assert not (tmp_path / "typo.db").exists()
