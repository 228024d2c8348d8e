"""What deploy/ starts is what the command line has."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from dashboards.cli.commands import build_app

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))


def check_command(words: Sequence[str]) -> None:
    """Parses a command line without running it; raises for an unknown command or option."""
    command: Any = get_command(build_app())
    words = list(words)
    context = command.make_context("paretune", [], resilient_parsing=True)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_start_known_commands(path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(path.read_text())
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "paretune"
    check_command(words)
    assert unit["Service"]["EnvironmentFile"] == "/etc/paretune.env"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_units(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name.replace("@", "@1")
    copy.write_text(path.read_text().replace("/opt/paretune/bin/paretune", "/bin/true").replace("User=paretune\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if copy.name in line]
    assert complaints == []


def test_compose_starts_known_commands() -> None:
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = document["services"]
    assert set(services) == {"database", "upgrade", "server", "worker"}
    for name in ("upgrade", "server", "worker"):
        check_command(services[name]["command"])
        assert services[name]["environment"]["PARETUNE_DB"].startswith("postgresql://")


def test_the_image_installs_what_it_runs() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert "[full,postgres]" in text
    assert 'ENTRYPOINT ["paretune"]' in text
