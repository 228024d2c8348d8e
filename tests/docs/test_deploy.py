"""What deploy/ starts is what the command line has."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from dashboards.cli.commands import build_app
from search.devices.cluster.resources import NodeDevice

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


class TestKubeRay:
    @pytest.fixture(scope="class")
    @staticmethod
    def groups() -> dict[str, Any]:
        """The groups of the manifest by name: Ray's parameters, and the container."""
        cluster = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text())
        assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
        assert cluster["spec"]["authOptions"] == {"mode": "token"}
        assert cluster["spec"]["rayVersion"] == version("ray")
        specs = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
        return {spec.get("groupName", "head"): spec for spec in specs}

    def test_it_starts_known_commands(self, groups: dict[str, Any]) -> None:
        commands = {name: container(spec)["command"][-1] for name, spec in groups.items()}
        assert all("$KUBERAY_GEN_RAY_START_CMD" in command for command in commands.values())
        ours = {name: re.findall(r"paretune ([^)\n]+)", command) for name, command in commands.items()}
        assert {name for name, found in ours.items() if found} == {"jobs", "xeon"}
        for command in (*ours["jobs"], *ours["xeon"]):
            check_command(shlex.split(command))

    def test_measuring_nodes_are_not_niced_and_no_quota_changes_their_cores(self, groups: dict[str, Any]) -> None:
        for spec in groups.values():
            assert {"name": "RAY_worker_niceness", "value": "0"} in container(spec)["env"]
        assert "cpu" not in container(groups["xeon"])["resources"]["limits"]

    @pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
    def test_shells_pass_the_resources_on_as_they_are(self, groups: dict[str, Any], tmp_path: Path) -> None:
        """The command of the measuring group, with programs that say what they were given."""
        resource = NodeDevice("xeon", "local-cpu", "0" * 16).resource
        program = tmp_path / "paretune"
        program.write_text(f"#!/bin/sh\nprintf '%s' '{json.dumps({resource: 1})}'\n")
        program.chmod(0o700)
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "KUBERAY_GEN_RAY_START_CMD": "printf '%s\n' --num-cpus=1"}
        done = subprocess.run(
            container(groups["xeon"])["command"], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == ["--num-cpus=1", f"--resources={json.dumps({resource: 1})}"]


def container(spec: dict[str, Any]) -> dict[str, Any]:
    (only,) = spec["template"]["spec"]["containers"]
    return dict(only)
