"""What an agent's machine needs: the base package and one runtime, and nothing that only a search needs."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import ROOT, environment
from installation import Environment
from remote_host import BRIEF, Hosts
from small_jobs import classifier

from evaluators.measuring.latency import LatencyRequest
from search.devices.link import StoreLink
from search.devices.lookup import DeviceRegistry
from search.devices.remote import RemoteDevice
from search.folders import default_database
from search.store import Store

NOT_FOR_AGENTS = {
    "torch", "ray", "sqlalchemy", "alembic", "fastapi", "starlette", "uvicorn", "typer", "rich", "pydantic", "onnx",
    "onnxscript", "optuna", "scikit-learn", "scipy", "matplotlib", "jinja2", "openvino",
}  # fmt: skip
EXPECTED = {
    "paretune", "numpy", "httpx", "httpcore", "h11", "anyio", "certifi", "idna", "psutil", "platformdirs",
    "onnxruntime", "flatbuffers", "protobuf", "packaging", "typing_extensions", "sniffio",
}  # fmt: skip
"""No more than these; some of them only on some machines."""


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment with nothing but ``paretune[ort]``: the base package, and then what its hint says."""
    made = Environment.make(tmp_path_factory.mktemp("agent") / "env", with_pip=True)
    made.install(wheel)
    said = made.run("python", "-c", "from hwprofiles.installed import install_command; print(install_command('ort'))")
    command = shlex.split(said.stdout)
    assert command[1:] == ["-m", "pip", "install", "paretune[ort]"]
    assert command[0] == str(made.programs / "python")
    made.output("python", *command[1:], "--quiet", "--constraint", ROOT / "constraints.txt")
    return made


@pytest.fixture
def hosts(home: Path, tmp_path: Path) -> Iterator[Hosts]:
    home.mkdir()
    opened = Hosts(home, tmp_path)
    opened.make_token()
    yield opened
    opened.stop()


def test_an_agent_from_a_fresh_environment(installed: Environment, hosts: Hosts, tmp_path: Path) -> None:
    """Lists what came, asks for help, and makes a real measurement."""
    listed = json.loads(installed.output("python", "-m", "pip", "list", "--format", "json"))
    came = {package["name"].lower() for package in listed} - {"pip", "setuptools"}
    assert came >= {"paretune", "numpy", "httpx", "psutil", "onnxruntime"}
    assert not came & NOT_FOR_AGENTS
    assert came <= {name.lower() for name in EXPECTED}

    printed = installed.output("paretune", "agent", "--help")
    assert "--token-file" in printed

    refused = installed.run("paretune", "jobs")
    assert refused.returncode == 2
    assert "paretune[full]" in refused.stderr

    models = tmp_path / "baseline.onnx", tmp_path / "candidate.onnx"
    for seed, path in enumerate(models):
        onnx.save(classifier(1, seed=seed), path)
    with Store(default_database()) as store:
        hosts.serve_here(store)
        env = environment(hosts.agent_home, TMPDIR=str(tmp_path))
        del env["PYTHONPATH"]
        with (tmp_path / "agent.log").open("wb") as log:
            given = ["--server", hosts.url, "--token-file", hosts.token_file, "--device", "pi"]
            agent = subprocess.Popen(
                [installed.programs / "paretune", "agent", *given], env=env, cwd=tmp_path, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        hosts.processes.append(agent)
        hosts.wait_for("registered as pi")
        device = RemoteDevice(DeviceRegistry(store).find("pi"), StoreLink(default_database()))
        sample = {"x": np.ones((1, 16), np.float32)}
        try:
            found = device.measure(LatencyRequest(*models, sample, BRIEF, limit_s=120.0))
            assert device.peak_memory_bytes(models[1], sample, limit_s=120.0) > 0
        finally:
            device.close()
    assert found.ratio > 0
    assert found.health is not None
