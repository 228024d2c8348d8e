"""What executes a remote device's files here, and that it is said where something else stood in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluators.measuring.quality import Quality
from evaluators.runtimes import OpenVino
from hwprofiles import Profile, find_device
from hwprofiles.errors import DeviceUnavailable
from search.fronts.metrics import figures_on, merge_devices
from search.trials.local_runtime import local_runtime, stand_in
from search.trials.quality import QualityEvaluator


@pytest.fixture
def remote() -> Profile:
    return replace(find_device("local-cpu"), device="pi", agent=True)


def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(self: OpenVino) -> str:
        raise DeviceUnavailable("not installed", "install it")

    monkeypatch.setattr(OpenVino, "version", version)


def test_one_that_is_not_here(monkeypatch: pytest.MonkeyPatch, remote: Profile) -> None:
    without_openvino(monkeypatch)
    assert local_runtime(remote, "openvino:bf16").name == "onnxruntime"
    assert stand_in(remote, "openvino:bf16") == "onnxruntime"
    assert stand_in(replace(remote, runtime="openvino")) == "onnxruntime"


def test_one_that_is(monkeypatch: pytest.MonkeyPatch, remote: Profile) -> None:
    monkeypatch.setattr(OpenVino, "version", lambda self: "2026.1")
    assert local_runtime(remote, "openvino:bf16").hint == "bf16"
    assert stand_in(remote, "openvino:bf16") is None
    assert stand_in(remote) is None


def test_on_this_machine_s_devices_none_stands_in(monkeypatch: pytest.MonkeyPatch, remote: Profile) -> None:
    without_openvino(monkeypatch)
    assert stand_in(replace(remote, agent=False), "openvino") is None


@pytest.mark.parametrize("name", [None, "onnxruntime"])
def test_the_candidate_s_metrics_name_it(name: str | None) -> None:
    found = Quality({"cosine": 0.9}, {"cosine": (0.8, 1.0)}, name)
    sandbox: Any = SimpleNamespace(call=lambda *_, **__: found)
    order: Any = None
    metrics = QualityEvaluator(sandbox, order, 1.0).evaluate(Path("model.onnx")).metrics
    assert metrics.get("quality_runtime") == name
    both = merge_devices(("pi", "here"), {"pi": metrics, "here": {"cosine": 0.9}})
    assert figures_on(both, "pi").get("quality_runtime") == name
    assert "quality_runtime" not in figures_on(both, "here")
