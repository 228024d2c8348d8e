"""The device ``local-gpu`` at the command line where there is no GPU: hidden from a machine that has one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import document, error_lines, paretune
from small_jobs import write_job

HIDDEN = {"CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def unavailable(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("gpu") / "home"
    found = document(paretune("devices", "list", "--format", "json", home=home, **HIDDEN))
    (device,) = [one for one in found["devices"] if one["device"] == "local-gpu"]
    return dict(device)


def test_it_is_listed_as_unavailable_with_the_reason(tmp_path: Path, unavailable: dict[str, Any]) -> None:
    assert unavailable["available"] is False
    assert "NVIDIA driver" in unavailable["reason"]
    shown = document(paretune("devices", "show", "local-gpu", "--format", "json", home=tmp_path / "home", **HIDDEN))
    assert shown["reason"] == unavailable["reason"]


@pytest.mark.parametrize("command", ["run", "profile"])
def test_a_command_that_needs_it_says_the_same_in_two_lines(
    tmp_path: Path, unavailable: dict[str, Any], command: str
) -> None:
    job = write_job(tmp_path, devices=["local-gpu"])
    arguments = [job] if command == "run" else [tmp_path / "model.onnx", "--device", "local-gpu"]
    done = paretune(command, *arguments, home=tmp_path / "home", **HIDDEN)
    assert done.returncode == 5
    assert "; ".join(error_lines(done)) == unavailable["reason"]
    assert len(done.stderr.splitlines()) == 2
