"""What all tests share: no test sees the user's own data folder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own."""
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PARETUNE_DB", raising=False)
    return tmp_path / "home"
