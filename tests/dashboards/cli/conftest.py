"""What tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_jobs import write_classifier


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: it has a model with its data, and nothing else."""
    path = tmp_path / "models"
    write_classifier(path)
    monkeypatch.chdir(path)
    return path
