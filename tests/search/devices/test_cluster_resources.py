"""What declares a device to a Ray cluster, and the command that prints it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from command_line import document, error_lines, paretune

from evaluators.agent.executor import Executor
from hwprofiles import find_device
from search.devices.cluster.resources import NodeDevice, declare, devices_among


def test_a_resource_names_the_device_and_its_profile() -> None:
    device = declare("lab", "local-cpu")
    assert NodeDevice.parse(device.resource) == device
    executor = device.open()
    assert isinstance(executor, Executor)
    assert executor.profile.digest.startswith(device.digest)
    assert (executor.profile.device, executor.profile.agent) == ("lab", True)
    assert executor.profile.processor == find_device("local-cpu").processor
    assert devices_among(["CPU", "node:10.0.0.1", device.resource, "paretune:lab:local-cpu:short"]) == [device]


def test_the_command_prints_what_ray_start_takes(home: Path) -> None:
    resource = declare("lab", "local-cpu").resource
    printed = paretune("devices", "resources", "--name", "lab", home=home)
    assert json.loads(printed.stdout) == {resource: 1}
    assert printed.stderr.count("ray start") == 2
    described = document(paretune("devices", "resources", "--name", "lab", "--format", "json", home=home))
    assert (described["device"], described["resource"]) == ("lab", resource)
    for command in (described["head"], described["node"]):
        words = shlex.split(command)
        (resources,) = [word.removeprefix("--resources=") for word in words if word.startswith("--resources=")]
        assert json.loads(resources) == {resource: 1}
        assert words[:2] == ["RAY_AUTH_MODE=token", "RAY_worker_niceness=0"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--name", "a b"], "not a valid device name"),
        (["--name", "local-cpu"], "the name of another device"),
        (["--name", "lab", "--local", "dry-run"], "is simulated"),
    ],
)
def test_what_cannot_be_declared(home: Path, options: list[str], said: str) -> None:
    refused = paretune("devices", "resources", *options, home=home)
    assert refused.returncode == 2
    assert said in error_lines(refused)[0]


def test_a_worker_says_what_is_wrong_with_its_cluster(home: Path, tmp_path: Path) -> None:
    nothing = {"HOME": str(tmp_path), "RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": ""}
    refused = paretune("worker", "--ray-address", "127.0.0.1:1", home=home, **nothing)
    assert refused.returncode == 2
    assert "there is no token for the Ray cluster" in error_lines(refused)[0]
    away = paretune("worker", "--ray-address", "127.0.0.1:1", home=home, RAY_AUTH_TOKEN="secret")
    assert away.returncode == 75
    assert "the head of the Ray cluster at 127.0.0.1:1 cannot be reached" in error_lines(away)[0]
